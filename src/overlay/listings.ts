/** The cache of listings. */
import { LRUCache } from 'lru-cache';
import type { Inode } from './inode.js';
import type { Listing } from './listing.js';

/** How many names all listings hold at most, apart from what {@link Listings.touch} has not counted yet. */
const MAX_NAMES = 2_000_000;
/** Cost of an empty listing, in names. */
const EMPTY = 8;
/** A listing is counted again when it has changed by a quarter and this many names. */
const FEW = 64;

/** An LRU cache of {@link DirState.listing}s, bounded by the number of names that they hold. */
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
    // A value that is already present keeps the size it was added with.
    this.#cache.delete(inode);
    this.#cache.set(inode, listing);
    inode.dir!.listing = listing;
  }

  /** Marks a listing as used; one that has grown or shrunk much is counted again, which may evict others. */
  touch(inode: Inode, listing: Listing): void {
    const { counted, names } = listing;
    if (Math.abs(names.length - counted) > counted / 4 + FEW) this.set(inode, listing);
    else this.#cache.get(inode);
  }

  drop(inode: Inode): void {
    if (inode.dir!.listing !== null) this.#cache.delete(inode);
  }
}
