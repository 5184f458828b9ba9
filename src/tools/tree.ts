/** One raw directory tree, whiteouts and marks included. No symlink is followed, no mount is entered. */

import { OVERRIDE_CONTAINERS, OVERRIDE_PRIVILEGED, OVERRIDE_USER } from '../overlay/override-stat.js';
import { FOREIGN_OPAQUE, type OwnXattrs } from '../overlay/own-xattrs.js';
import { UserError } from '../overlay/user-error.js';
import { WH_OPAQUE, WH_PREFIX, WH_RESERVED } from '../overlay/whiteout.js';
import * as sys from '../sys/index.js';
import { byBytes, check, type PathLike, pathBytes, quoted } from './text.js';

const LIST = sys.O_RDONLY | sys.O_DIRECTORY | sys.O_NOFOLLOW | sys.O_CLOEXEC | sys.O_NONBLOCK;
const BENEATH = sys.RESOLVE_BENEATH | sys.RESOLVE_NO_SYMLINKS | sys.RESOLVE_NO_XDEV;
/** Deeper directories have paths that hardly any program can use: they were made to exhaust our stack. */
const MAX_DEPTH = 1000;

/** Throws a {@link UserError} for a directory that is nested too deep. `prefix`: its path, with a slash at the end. */
export function checkDepth(prefix: string): void {
  if (prefix.length < 2 * MAX_DEPTH || prefix.split('/').length <= MAX_DEPTH) return;
  const start = quoted(prefix.slice(0, 40));
  throw new UserError(`'${start}...' is nested more than ${MAX_DEPTH} directories deep.`);
}

/** An object met on a walk. */
export interface TreeEntry {
  /** Descriptor of the directory that holds it; valid during the visit. */
  readonly dirfd: number;
  readonly name: string;
  /** From the top of the tree, without a leading slash; latin1. */
  readonly path: string;
  readonly type: number;
  readonly depth: number;
}

/** Visits an object; for a directory: whether to enter it. `stat` is overwritten by the next one. */
export type Visit = (entry: TreeEntry, stat: sys.Stat) => boolean;

/** Opens a directory that a user named, following symlinks in that path. */
export function openTop(path: PathLike, what: string): number {
  const bytes = pathBytes(path);
  const fd = sys.openat(sys.AT_FDCWD, bytes, sys.O_RDONLY | sys.O_DIRECTORY | sys.O_CLOEXEC | sys.O_NONBLOCK);
  return check(fd, `open the ${what}`, bytes);
}

/** Opens the directory of a descriptor again, for reading. `path`: for messages. Throws a UserError. */
export function openAgain(fd: number, path: string): number {
  return check(sys.openat(fd, '.', LIST), 'open', path);
}

/** Opens the subdirectory `name` itself for reading, or -errno. */
export function openSub(dirfd: number, name: string): number {
  return sys.openat2(dirfd, name, LIST, BENEATH);
}

const WAY = sys.O_PATH | sys.O_DIRECTORY | sys.O_NOFOLLOW | sys.O_CLOEXEC;

/**
 * Opens the directory that holds `path` for use by its names, one step at a time: a path may be longer than a call takes. Or
 * -errno.
 */
function openParent(top: number, path: string): number {
  let fd = sys.openat2(top, '.', WAY, BENEATH);
  for (const name of path.split('/').slice(0, -1)) {
    if (fd < 0) break;
    const next = sys.openat2(fd, name, WAY, BENEATH);
    sys.close(fd);
    fd = next;
  }
  return fd;
}

/** Makes `name` in `dirfd` another name of the file at `path` below `top`, following nothing. Returns 0 or -errno. */
export function linkAgain(top: number, path: string, dirfd: number, name: string): number {
  const parent = openParent(top, path);
  if (parent < 0) return parent;
  const rc = sys.linkat(parent, path.slice(path.lastIndexOf('/') + 1), dirfd, name);
  sys.close(parent);
  return rc;
}

/** Names in an open directory, in byte order. */
export function listSorted(fd: number, path: string): sys.Dirent[] {
  const again = openAgain(fd, path);
  const entries = sys.readDirectory(again);
  sys.close(again);
  if (typeof entries === 'number') check(entries, 'list', path);
  return (entries as sys.Dirent[]).sort((a, b) => byBytes(a.name, b.name));
}

/** Visits everything below the open directory `top`, parents first, names in byte order. */
export function walkTree(top: number, visit: Visit): void {
  walk(top, '', 0, visit);
}

function walk(dirfd: number, prefix: string, depth: number, visit: Visit): void {
  checkDepth(prefix);
  const stat = new sys.Stat();
  for (const { name } of listSorted(dirfd, prefix)) {
    const path = prefix + name;
    const rc = sys.statx(dirfd, name, stat);
    // Gone meanwhile: on a live upper that is no mistake.
    if (rc === -sys.ENOENT) continue;
    check(rc, 'read', path);
    const type = stat.mode & sys.S_IFMT;
    if (!visit({ dirfd, name, path, type, depth }, stat) || type !== sys.S_IFDIR) continue;
    const fd = openSub(dirfd, name);
    if (fd === -sys.EXDEV || fd === -sys.ENOENT) continue;
    check(fd, 'open', path);
    try {
      walk(fd, `${path}/`, depth + 1, visit);
    } finally {
      sys.close(fd);
    }
  }
}

const value = Buffer.alloc(sys.XATTR_SIZE_MAX);

/** Errors of listxattr(2) that mean that an object, or its filesystem, has no xattrs. */
const WITHOUT_XATTRS = new Set([sys.EOPNOTSUPP, sys.ENODATA, sys.ENOENT, sys.EACCES, sys.EPERM]);

/**
 * All xattrs of an object as stored, by name in byte order; `name` "" is the descriptor itself. Throws a UserError for one that
 * has more than can be listed.
 */
export function rawXattrs(dirfd: number, name: string): Map<string, Buffer> {
  const found = new Map<string, Buffer>();
  const names = sys.xattrNames(dirfd, name);
  if (typeof names === 'number') {
    if (!WITHOUT_XATTRS.has(-names)) check(names, 'list the xattrs of', name);
    return found;
  }
  for (const attribute of [...names].sort(byBytes)) {
    const size = sys.getxattr(dirfd, name, attribute, value, value.length);
    if (size >= 0) found.set(attribute, Buffer.from(value.subarray(0, size)));
  }
  return found;
}

/** Value of one xattr; null when it is not there or can't be read. */
export function rawXattr(dirfd: number, name: string, attribute: string): Buffer | null {
  const size = sys.getxattr(dirfd, name, attribute, value, value.length);
  return size < 0 ? null : Buffer.from(value.subarray(0, size));
}

/** The xattrs in which fuse-overlayfs keeps owner and mode; the first one present counts. */
export const OVERRIDES: readonly string[] = [OVERRIDE_CONTAINERS, OVERRIDE_USER, OVERRIDE_PRIVILEGED];

/** Whether an object hides the name below it: a device 0:0, or an empty file with the mark. `stat`: its attributes. */
export function isWhiteoutAt(dirfd: number, name: string, stat: sys.Stat, own: OwnXattrs): boolean {
  if (stat.isWhiteout) return true;
  const isEmptyFile = (stat.mode & sys.S_IFMT) === sys.S_IFREG && stat.size === 0;
  return isEmptyFile && sys.getxattr(dirfd, name, own.whiteout, value, 0) >= 0;
}

/** The name that a `.wh.` file hides; null for any other name, and for one that hides nothing that can be. */
export function hiddenBy(name: string): string | null {
  if (!name.startsWith(WH_PREFIX) || name.startsWith(WH_RESERVED)) return null;
  const hidden = name.slice(WH_PREFIX.length);
  return ['', '.', '..'].includes(hidden) ? null : hidden;
}

/** Whether the open directory `fd` hides what is below it, by a mark in any form. */
export function isOpaqueDir(fd: number, own: OwnXattrs): boolean {
  const isMarked = [own.opaque, FOREIGN_OPAQUE].some((mark) => rawXattr(fd, '', mark)?.latin1Slice() === 'y');
  return isMarked || sys.statx(fd, WH_OPAQUE, new sys.Stat()) === 0;
}

/** A copy of attributes that the next call will overwrite. */
export function keepStat(stat: sys.Stat): sys.Stat {
  return Object.assign(new sys.Stat(), stat);
}
