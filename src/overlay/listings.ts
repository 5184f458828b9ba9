/** The listings that are in memory. */
import { LRUCache } from 'lru-cache';
import type { Inode } from './inode.js';
import type { Listing } from './listing.js';

/** How many names they hold at most, all together, but for what {@link Listings.touch} has not counted yet. */
const MAX_NAMES = 2_000_000;
/** What a listing costs without any name, in names. */
const EMPTY = 8;
/** A listing is counted again when it has changed by a quarter and this many names. */
const FEW = 64;

/** {@link DirState.listing}s by use, bounded by the number of names that they hold. */
export class Listings {
  readonly #cache: LRUCache<Inode, Listing>;

  constructor(maxNames = MAX_NAMES) {
    this.#cache = new LRUCache({
      maxSize: maxNames,
      maxEntrySize: Number.MAX_SAFE_INTEGER,
      sizeCalculation: (listing) => Math.min(listing.counted + EMPTY, maxNames),
      dispose: (_listing, inode) => {
        inode.dir!.listing = null;
      },
    });
  }

  set(inode: Inode, listing: Listing): void {
    listing.counted = listing.names.length;
    // A value that is there already keeps the size with which it came.
    this.#cache.delete(inode);
    this.#cache.set(inode, listing);
    inode.dir!.listing = listing;
  }

  /** Marks a listing as used; one that has grown or shrunk much is counted again, and others may have to go. */
  touch(inode: Inode, listing: Listing): void {
    const { counted, names } = listing;
    if (Math.abs(names.length - counted) > counted / 4 + FEW) this.set(inode, listing);
    else this.#cache.get(inode);
  }

  drop(inode: Inode): void {
    if (inode.dir!.listing !== null) this.#cache.delete(inode);
  }
}
