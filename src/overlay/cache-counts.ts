/** Hits and misses of the overlay's caches, counted in a typed array that other threads may read. */

/**
 * Hit / miss:
 * - `nodes`: a looked-up name whose inode is known / had to be found on the layers;
 * - `absent`: a name that does not exist, according to a listing in memory / to a layer;
 * - `listings`: a directory's listing in memory / read from the layers;
 * - `directories`, `files`: an open descriptor / one that had to be opened.
 */
export const CACHES = ['nodes', 'absent', 'listings', 'directories', 'files'] as const;
export type CacheName = (typeof CACHES)[number];

/** Two places per cache: hits, then misses. */
export const CACHE_COUNTS = CACHES.length * 2;

export const NODE_HIT = 0;
export const NODE_MISS = 1;
export const ABSENT_HIT = 2;
export const ABSENT_MISS = 3;
export const LISTING_HIT = 4;
export const LISTING_MISS = 5;
export const DIRECTORY_HIT = 6;
export const DIRECTORY_MISS = 7;
export const FILE_HIT = 8;
export const FILE_MISS = 9;
