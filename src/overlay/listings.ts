/** The listings that are in memory. */
import { LRUCache } from 'lru-cache';
import type { Inode } from './inode.js';
import type { Listing } from './listing.js';

/** How many names they hold at most, all together. */
const MAX_NAMES = 2_000_000;

/** {@link DirState.listing}s by use, bounded by the number of names that they hold. */
export class Listings {
  readonly #cache: LRUCache<Inode, Listing>;

  constructor() {
    this.#cache = new LRUCache({
      maxSize: MAX_NAMES,
      maxEntrySize: Number.MAX_SAFE_INTEGER,
      sizeCalculation: (listing) => Math.min(listing.names.length + 8, MAX_NAMES),
      dispose: (_listing, inode) => {
        inode.dir!.listing = null;
      },
    });
  }

  set(inode: Inode, listing: Listing): void {
    this.#cache.set(inode, listing);
    inode.dir!.listing = listing;
  }

  /** Marks a listing as used. */
  touch(inode: Inode): void {
    this.#cache.get(inode);
  }

  drop(inode: Inode): void {
    if (inode.dir!.listing !== null) this.#cache.delete(inode);
  }
}
