/** The upper and work directory of a stack, which may lie inside one of its lowers: they are no part of that layer. */
import * as sys from '../../sys/index.js';

/** Directories by what they are, however they are reached. */
export class Nested {
  readonly #keys = new Set<string>();
  readonly #stat = new sys.Stat();

  /** The open directory `fd` is left out wherever it is found. */
  add(fd: number): void {
    const key = this.#key(sys.fstatx(fd, this.#stat));
    if (key !== null) this.#keys.add(key);
  }

  has(dirfd: number, name: string): boolean {
    if (this.#keys.size === 0) return false;
    const key = this.#key(sys.statx(dirfd, name, this.#stat));
    return key !== null && this.#keys.has(key);
  }

  /** Key of the directory that was just looked at, with the result `rc`; null for anything else. */
  #key(rc: number): string | null {
    const stat = this.#stat;
    if (rc < 0 || (stat.mode & sys.S_IFMT) !== sys.S_IFDIR) return null;
    return `${stat.devMajor}:${stat.devMinor}:${stat.inoHi}:${stat.inoLo}`;
  }
}
