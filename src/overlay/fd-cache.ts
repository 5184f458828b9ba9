/** Caches of open descriptors: of real directories, and of the data of files. Bounded, least recently used first out. */
import { LRUCache } from 'lru-cache';
import * as sys from '../sys/index.js';
import { must } from '../vfs/errors.js';
import { DIRECTORY_HIT, DIRECTORY_MISS } from './cache-counts.js';
import type { Inode, RealDir } from './inode.js';

const DIR_FLAGS = sys.O_RDONLY | sys.O_DIRECTORY | sys.O_NOFOLLOW | sys.O_CLOEXEC;
/** For a directory that may be searched and not read. */
const PATH_FLAGS = sys.O_PATH | sys.O_DIRECTORY | sys.O_NOFOLLOW | sys.O_CLOEXEC;

/** How many of the last steps on the way down to a directory are kept open. */
const STEPS_KEPT = 4;
/** How many of the most recently used descriptors are never given up. */
const DIRS_IN_USE = 8;
const FILES_IN_USE = 2;

/** Evicts the least recently used half of a cache, but never the last `inUse`. Returns how many were evicted. */
function dropHalf(cache: { readonly size: number; pop(): unknown }, inUse: number): number {
  const before = cache.size;
  const left = Math.max(inUse, before >> 1);
  while (cache.size > left) cache.pop();
  return before - cache.size;
}

/**
 * Descriptors of real directories: names are looked up relative to them, and listings are read from them. A descriptor is valid
 * until the next call that opens another one. More precisely, {@link fd} closes at most {@link STEPS_KEPT} of the least recently
 * used ones, so an operation may hold the descriptors of two directories; but anything that visits all layers (listingOf()) may
 * close any of them.
 */
export class DirFds {
  readonly #open: LRUCache<RealDir, number>;
  readonly #counts: Float64Array;
  readonly #giveUp: () => boolean;

  /**
   * `max`: how many descriptors to keep, at least 16, which is more than an operation needs unless it merges more layers. `giveUp`:
   * called when no descriptor is left; returns whether it closed any.
   */
  constructor(max: number, counts: Float64Array, giveUp: () => boolean) {
    this.#counts = counts;
    this.#giveUp = giveUp;
    this.#open = new LRUCache({ max: Math.max(16, max), dispose: (fd) => void sys.close(fd) });
  }

  /** Descriptor of `dir`, owned by the cache. Throws FsError, ENOENT when it is gone. */
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
   * Goes down to `dir` from its nearest open ancestor, which is not its parent; by a loop, since the way may be longer than the
   * stack has room for. Only the last steps stay open.
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

  /** The descriptor of a directory if it is open, else -1. */
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

  /** Calls `each` for all names of `dir`: see sys.listDirectory(). Throws FsError. */
  list(dir: RealDir, each: (found: sys.Dirent) => void): void {
    if (dir.parent === null) {
      this.#listAnew(dir.layer.root, each);
      return;
    }
    const fd = this.fd(dir);
    // Upper is rewound even before the first read: btrfs shows names added since the open only after a rewind.
    const rewound = dir.wasRead || dir.isUpper ? sys.lseek(fd, 0, sys.SEEK_SET) : 0;
    dir.wasRead = true;
    const rc = rewound < 0 ? rewound : sys.listDirectory(fd, each);
    // An O_PATH descriptor: the first attempt to open it for reading was refused, but may succeed with our own identity.
    if (rc === -sys.EBADF) this.#listAnew(fd, each);
    else must(rc, 'getdents64');
  }

  /** Lists the directory of an O_PATH descriptor. */
  #listAnew(path: number, each: (found: sys.Dirent) => void): void {
    const fd = must(this.#openOnce(path, '.', DIR_FLAGS), 'openat');
    try {
      const rc = sys.listDirectory(fd, each);
      // ENOENT: it was removed in the meantime.
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

  /** Closes the descriptor of a directory that is gone or forgotten. */
  drop(dir: RealDir): void {
    this.#open.delete(dir);
  }

  /** Closes the least recently used half. Returns how many were closed. */
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
 * Data descriptors by inode: under zero-message opens we do not learn what is open, so they are cached by use. A descriptor is valid
 * until the next call that opens another one.
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

  /** Caches `fd` for `inode`, taking ownership; closes the one cached before. */
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

  /** Closes the least recently used half. Returns how many were closed. */
  giveUpHalf(): number {
    return dropHalf(this.#open, FILES_IN_USE);
  }

  clear(): void {
    this.#open.clear();
  }
}
