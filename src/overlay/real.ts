/** Descriptors of real directories and files, bounded by LRU. */
import { LRUCache } from 'lru-cache';
import * as sys from '../sys/index.js';
import { must } from '../vfs/errors.js';
import type { Inode, RealDir } from './inode.js';

const DIR_FLAGS = sys.O_PATH | sys.O_DIRECTORY | sys.O_NOFOLLOW | sys.O_CLOEXEC;

/** O_PATH descriptors of real directories. A descriptor is valid until the next call that opens another one. */
export class DirFds {
  readonly #open: LRUCache<RealDir, number>;

  /** `max`: how many descriptors to keep, at least 16, so that one operation's directories never evict each other. */
  constructor(max: number) {
    this.#open = new LRUCache({ max: Math.max(16, max), dispose: (fd) => void sys.close(fd) });
  }

  /** Descriptor of `dir`; throws FsError (ESTALE when it is gone). */
  fd(dir: RealDir): number {
    const known = this.#open.get(dir);
    if (known !== undefined) return known;
    if (dir.parent === null) return dir.layer.root;
    const fd = must(sys.openat(this.fd(dir.parent), dir.name, DIR_FLAGS), 'openat');
    this.#open.set(dir, fd);
    return fd;
  }

  /** Gives up the descriptor of a directory that is gone or forgotten. */
  drop(dir: RealDir): void {
    this.#open.delete(dir);
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

  constructor(max: number) {
    this.#open = new LRUCache({ max: Math.max(16, max), dispose: (file) => void sys.close(file.fd) });
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

  clear(): void {
    this.#open.clear();
  }
}
