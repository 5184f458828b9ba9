/**
 * Whether a caller that lists a directory is going to look at what is in it. READDIRPLUS gives an entry with its
 * attributes, which spares the LOOKUP of it; or bare, its name only, which spares a statx(2), an inode here and one in
 * the kernel. `ls -l`, tar and rm want the first; `find -name`, a shell's `*` and Python's import the second. So all
 * entries but directories are bare, until a caller has looked up some part of what it was given so.
 */
import { LRUCache } from 'lru-cache';

/** Callers that are remembered. */
const MAX_WALKERS = 64;
/** A caller that looks up more than one in so many of its bare entries gets attributes with the next ones. */
const BARE_PER_LOOKUP = 4;

interface Walker {
  /** Entries that it was given bare. */
  given: number;
  /** Names that it looked up in directories of which bare entries were given. */
  lookedUp: number;
}

/** What is remembered of callers that list directories, by thread. */
export class Walkers {
  /** By thread id, as requests carry it. */
  readonly #walkers = new LRUCache<number, Walker>({ max: MAX_WALKERS });

  #walker(pid: number): Walker {
    let walker = this.#walkers.get(pid);
    if (walker === undefined) {
      walker = { given: 0, lookedUp: 0 };
      this.#walkers.set(pid, walker);
    }
    return walker;
  }

  /** Whether `pid` is to get its entries with attributes. */
  wantsAttributes(pid: number): boolean {
    const walker = this.#walkers.get(pid);
    return walker !== undefined && walker.lookedUp * BARE_PER_LOOKUP > walker.given;
  }

  /** `pid` was given so many entries bare. */
  gaveBare(pid: number, count: number): void {
    this.#walker(pid).given += count;
  }

  /** A name was looked up, on behalf of `pid`, in a directory of which bare entries were given. */
  lookedUp(pid: number): void {
    this.#walker(pid).lookedUp++;
  }
}
