/** A directory as the user named it: examined once, before anything is cloned or created. */

import {
  AT_FDCWD,
  btrfsUuid,
  close,
  EACCES,
  ELOOP,
  ENAMETOOLONG,
  ENOENT,
  ENOTDIR,
  EPERM,
  errnoName,
  fstatx,
  fsUuid,
  nameToHandle,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NONBLOCK,
  O_RDONLY,
  openat,
  openat2,
  PATH_MAX,
  RESOLVE_NO_SYMLINKS,
  readlinkat,
  Stat,
} from '../sys/index.js';
import { UserError } from './user-error.js';

/** Which option named a directory; used in messages as it is spelled there. */
export type DirOption = 'lowerdir' | 'datadir' | 'upperdir' | 'workdir';

/** A filesystem that holds one or more of the directories. */
export interface Filesystem {
  readonly devMajor: number;
  readonly devMinor: number;
  /** 16 bytes; null when it has none or does not reveal it. */
  readonly uuid: Buffer | null;
  /** A subvolume of a btrfs: each has its own device number, but file handles are valid in all. */
  readonly subvolume: boolean;
  /** Which file handles it has: none, the common 32-bit inode number and generation, or its own format. */
  readonly handles: 'none' | 'ino32' | 'other';
}

/** A directory that exists and may be read. Holds no descriptor. */
export interface SourceDir {
  readonly option: DirOption;
  /** Absolute path as the user typed it: for messages. */
  readonly path: string;
  /** The same directory by a path without symlinks, as this process sees it at the time. */
  readonly canonical: string;
  readonly fs: Filesystem;
  readonly inoLo: number;
  readonly inoHi: number;
  readonly mntId: number;
}

const FLAGS = O_RDONLY | O_DIRECTORY | O_NONBLOCK | O_CLOEXEC;

const stat = new Stat();
const link = Buffer.alloc(PATH_MAX);

/** What went wrong with a path, as the end of a sentence. */
export function reason(rc: number): string {
  switch (-rc) {
    case ENOENT:
      return 'it does not exist; create it or correct the path';
    case ENOTDIR:
      return 'it, or a part of its path, is not a directory';
    case EACCES:
    case EPERM:
      return 'permission denied; give this user access or choose another directory';
    case ELOOP:
      return 'its path has too many symbolic links';
    case ENAMETOOLONG:
      return 'its path is too long';
    default:
      return `the system says ${errnoName(rc)}`;
  }
}

/** Path of an open descriptor according to the kernel. Throws a UserError. */
function canonicalPath(fd: number, dir: { option: DirOption; path: string }): string {
  const size = readlinkat(AT_FDCWD, `/proc/self/fd/${fd}`, link);
  if (size === -ENOENT) {
    throw new UserError(`plyfs reads /proc/self/fd, which is missing here; mount /proc first.`);
  }
  if (size < 0 || size >= link.length) throw cannotUse(dir, size < 0 ? size : -ENAMETOOLONG);
  return link.latin1Slice(0, size);
}

/** Whether a path is in canonical form if no part of it is a symlink. */
function isNormal(path: string): boolean {
  return path === '/' || !/\/\.{0,2}(\/|$)/.test(path);
}

/** The error for a directory that can't be used. */
export function cannotUse(dir: { option: DirOption; path: string }, rc: number): UserError {
  return new UserError(`${dir.option} '${dir.path}' can't be used: ${reason(rc)}.`);
}

/** Examines directories, and remembers the filesystems that they are on. */
export class SourceDirs {
  readonly #filesystems: Filesystem[] = [];
  /** Try paths without following symlinks first, which saves asking for the canonical path. Off once one was a symlink. */
  #expectPlain = true;

  /** Throws a {@link UserError} when `path` is not a directory that may be read. Symlinks in it are followed. */
  look(option: DirOption, path: string): SourceDir {
    const dir = { option, path };
    let fd = -ELOOP;
    if (this.#expectPlain && isNormal(path)) fd = openat2(AT_FDCWD, path, FLAGS, RESOLVE_NO_SYMLINKS);
    const plain = fd >= 0;
    if (!plain) {
      this.#expectPlain = false;
      fd = openat(AT_FDCWD, path, FLAGS);
    }
    if (fd < 0) throw cannotUse(dir, fd);
    try {
      const rc = fstatx(fd, stat);
      if (rc < 0) throw cannotUse(dir, rc);
      const { devMajor, devMinor, inoLo, inoHi, mntId } = stat;
      const fs = this.#filesystemOf(fd, devMajor, devMinor);
      const canonical = plain ? path : canonicalPath(fd, dir);
      return { option, path, canonical, fs, inoLo, inoHi, mntId };
    } finally {
      close(fd);
    }
  }

  #filesystemOf(fd: number, devMajor: number, devMinor: number): Filesystem {
    for (const fs of this.#filesystems) {
      if (fs.devMajor === devMajor && fs.devMinor === devMinor) return fs;
    }
    const uuid = Buffer.alloc(16);
    let known = fsUuid(fd, uuid) === 0 && uuid.some((byte) => byte !== 0);
    const subvolume = !known && btrfsUuid(fd, uuid) === 0;
    known ||= subvolume;
    const handle = nameToHandle(fd, '');
    let handles: Filesystem['handles'] = 'other';
    if (typeof handle === 'number') handles = 'none';
    // FILEID_INO32_GEN as generic_encode_ino32_fh() makes it; tmpfs has the same type with 12 bytes of its own.
    else if (handle.type === 1 && handle.bytes.length === 8) handles = 'ino32';
    const fs: Filesystem = { devMajor, devMinor, uuid: known ? uuid : null, subvolume, handles };
    this.#filesystems.push(fs);
    return fs;
  }
}

/** Whether `fd` is the very directory that was looked at. */
export function isSame(fd: number, dir: SourceDir): boolean {
  return (
    fstatx(fd, stat) === 0 &&
    stat.inoLo === dir.inoLo &&
    stat.inoHi === dir.inoHi &&
    stat.devMajor === dir.fs.devMajor &&
    stat.devMinor === dir.fs.devMinor
  );
}
