/**
 * Guesses whether a caller that lists a directory will look at its entries. READDIRPLUS returns an entry with its attributes, which
 * saves a LOOKUP, or bare, with the name only, which saves a statx(2), an inode here and one in the kernel. `ls -l`, tar and rm
 * need the former; `find -name`, a shell's `*` and Python's import the latter. So all entries but directories are bare, until a
 * caller has looked up a certain share of its bare entries.
 */
import { LRUCache } from 'lru-cache';

/** How many callers are remembered. */
const MAX_WALKERS = 64;
/** A caller that looks up more than one in this many of its bare entries gets attributes from then on. */
const BARE_PER_LOOKUP = 4;

interface Walker {
  /** Entries returned bare. */
  given: number;
  /** Names looked up in directories of which bare entries were returned. */
  lookedUp: number;
}

/** Remembers callers that list directories, by thread. */
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

  /** Whether `pid` should get its entries with attributes. */
  wantsAttributes(pid: number): boolean {
    const walker = this.#walkers.get(pid);
    return walker !== undefined && walker.lookedUp * BARE_PER_LOOKUP > walker.given;
  }

  /** `pid` got `count` entries bare. */
  gaveBare(pid: number, count: number): void {
    this.#walker(pid).given += count;
  }

  /** `pid` looked up a name in a directory of which bare entries were returned. */
  lookedUp(pid: number): void {
    this.#walker(pid).lookedUp++;
  }
}
