/** Caches of open descriptors: of real directories, and of the data of files. Bounded, least recently used first out. */
import { LRUCache } from 'lru-cache';
import * as sys from '../sys/index.js';
import { must } from '../vfs/errors.js';
import { DIRECTORY_HIT, DIRECTORY_MISS } from './cache-counts.js';
import type { Inode, RealDir } from './inode.js';

const DIR_FLAGS = sys.O_RDONLY | sys.O_DIRECTORY | sys.O_NOFOLLOW | sys.O_CLOEXEC;
/** For a directory that may be searched and not read. */
const PATH_FLAGS = sys.O_PATH | sys.O_DIRECTORY | sys.O_NOFOLLOW | sys.O_CLOEXEC;

/** On the way down to a directory, so many of the last steps are kept open. */
const STEPS_KEPT = 4;
/** Of the descriptors that were used last, so many are never given up. */
const DIRS_IN_USE = 8;
const FILES_IN_USE = 2;

/** Takes the half of a cache that was used longest ago out of it, but for the last `inUse`. Returns how many that were. */
function dropHalf(cache: { readonly size: number; pop(): unknown }, inUse: number): number {
  const before = cache.size;
  const left = Math.max(inUse, before >> 1);
  while (cache.size > left) cache.pop();
  return before - cache.size;
}

/**
 * Descriptors of real directories: names are looked up relative to them, and they are what a listing is read from. A
 * descriptor is valid until the next call that opens another one; more exactly, {@link fd} closes at most
 * {@link STEPS_KEPT} of those used longest ago, so that an operation may hold those of two directories. But whatever
 * looks at all layers (listingOf()) may close any.
 */
export class DirFds {
  readonly #open: LRUCache<RealDir, number>;
  readonly #counts: Float64Array;
  readonly #giveUp: () => boolean;

  /**
   * `max`: how many descriptors to keep, at least 16: more than an operation needs, but for a merge of more layers. `giveUp`:
   * called when none is left; whether it closed any.
   */
  constructor(max: number, counts: Float64Array, giveUp: () => boolean) {
    this.#counts = counts;
    this.#giveUp = giveUp;
    this.#open = new LRUCache({ max: Math.max(16, max), dispose: (fd) => void sys.close(fd) });
  }

  /** Descriptor of `dir`. Throws FsError, ENOENT when it is gone. */
  fd(dir: RealDir): number {
    const fd = this.#known(dir);
    if (fd >= 0) return fd;
    const above = this.#known(dir.parent!);
    return above >= 0 ? this.#keep(dir, this.#openIn(above, dir.name)) : this.#descend(dir);
  }

  #keep(dir: RealDir, fd: number): number {
    this.#open.set(dir, fd);
    dir.wasRead = false;
    return fd;
  }

  /**
   * Goes down to `dir` from its nearest open ancestor, which is not its parent; by a loop, since the way may be longer than a stack has room for.
   * Only the last steps stay open.
   */
  #descend(dir: RealDir): number {
    const way = [dir, dir.parent!];
    let fd = -1;
    for (let up = dir.parent!.parent!; fd < 0; up = up.parent!) {
      fd = this.#known(up);
      if (fd < 0) way.push(up);
    }
    let passing = -1;
    try {
      for (let next = way.pop(); next !== undefined; next = way.pop()) {
        fd = this.#openIn(fd, next.name);
        if (passing >= 0) sys.close(passing);
        passing = way.length < STEPS_KEPT ? -1 : fd;
        if (passing < 0) this.#keep(next, fd);
      }
    } catch (error) {
      if (passing >= 0) sys.close(passing);
      throw error;
    }
    return fd;
  }

  /** The descriptor of a directory that is open, -1 for another. */
  #known(dir: RealDir): number {
    const fd = this.#open.get(dir);
    if (fd !== undefined) {
      this.#counts[DIRECTORY_HIT]!++;
      return fd;
    }
    if (dir.parent === null) return dir.layer.root;
    this.#counts[DIRECTORY_MISS]!++;
    return -1;
  }

  #openIn(parent: number, name: string): number {
    const fd = this.#openOnce(parent, name, DIR_FLAGS);
    return must(fd === -sys.EACCES ? this.#openOnce(parent, name, PATH_FLAGS) : fd, 'openat');
  }

  #openOnce(parent: number, name: string, flags: number): number {
    const fd = sys.openat(parent, name, flags);
    return fd === -sys.EMFILE && this.#giveUp() ? sys.openat(parent, name, flags) : fd;
  }

  /** Shows `each` all names of `dir`, one after the other: see sys.listDirectory(). Throws FsError. */
  list(dir: RealDir, each: (found: sys.Dirent) => void): void {
    if (dir.parent === null) {
      this.#listAnew(dir.layer.root, each);
      return;
    }
    const fd = this.fd(dir);
    // For upper before it was ever read, too: to btrfs, names that came since it was opened are there after a rewind only.
    const rewound = dir.wasRead || dir.isUpper ? sys.lseek(fd, 0, sys.SEEK_SET) : 0;
    dir.wasRead = true;
    const rc = rewound < 0 ? rewound : sys.listDirectory(fd, each);
    // An O_PATH descriptor: it may not be read, unless by a second try with our own rights.
    if (rc === -sys.EBADF) this.#listAnew(fd, each);
    else must(rc, 'getdents64');
  }

  /** The names of the directory behind an O_PATH descriptor. */
  #listAnew(path: number, each: (found: sys.Dirent) => void): void {
    const fd = must(this.#openOnce(path, '.', DIR_FLAGS), 'openat');
    try {
      const rc = sys.listDirectory(fd, each);
      // ENOENT: it was removed meanwhile.
      if (rc !== -sys.ENOENT) must(rc, 'getdents64');
    } finally {
      sys.close(fd);
    }
  }

  /** All names of `dir`. Throws FsError. */
  read(dir: RealDir): sys.Dirent[] {
    const entries: sys.Dirent[] = [];
    this.list(dir, (found) => entries.push({ ...found }));
    return entries;
  }

  /** Gives up the descriptor of a directory that is gone or forgotten. */
  drop(dir: RealDir): void {
    this.#open.delete(dir);
  }

  /** Closes those used longest ago; returns how many. */
  giveUpHalf(): number {
    return dropHalf(this.#open, DIRS_IN_USE);
  }

  clear(): void {
    this.#open.clear();
  }
}

/** An open data descriptor of an inode's real file. */
export interface OpenFile {
  readonly fd: number;
  readonly writable: boolean;
}

/**
 * Data descriptors by inode: under zero-message opens nobody tells us what is open, so they are kept by use.
 * A descriptor is valid until the next call that opens another one.
 */
export class FileFds {
  readonly #open: LRUCache<Inode, OpenFile>;

  /** `max`: how many descriptors to keep. */
  constructor(max: number) {
    this.#open = new LRUCache({ max, dispose: (file) => void sys.close(file.fd) });
  }

  get(inode: Inode): OpenFile | undefined {
    return this.#open.get(inode);
  }

  /** Keeps `fd` for `inode`, closing the one kept before. */
  set(inode: Inode, fd: number, writable: boolean): OpenFile {
    const file = { fd, writable };
    this.#open.set(inode, file);
    return file;
  }

  /** Descriptors that may be written to. */
  *writable(): Generator<number> {
    for (const file of this.#open.values()) if (file.writable) yield file.fd;
  }

  drop(inode: Inode): void {
    this.#open.delete(inode);
  }

  /** Closes those used longest ago; returns how many. */
  giveUpHalf(): number {
    return dropHalf(this.#open, FILES_IN_USE);
  }

  clear(): void {
    this.#open.clear();
  }
}
