/**
 * How many descriptors a mount may keep open, of those that its process may have. Descriptors of directories and files are
 * kept for being used again; what is opened beside them for the time of a call, a copy or a flush, and for callers'
 * unnamed files, must find room, too.
 */
import * as sys from '../sys/index.js';
import { UserError } from './user-error.js';

/** More are never kept. */
const MAX_DIRS = 4096;
const MAX_FILES = 1024;
/** What else a mount has open, with much to spare. */
const MAX_OTHERS = 512;
/** How many descriptors a mount may come to hold beside those of its layers, where the limit allows it. */
export const MAX_FDS = MAX_DIRS + MAX_FILES + MAX_OTHERS;

/** So many that one operation's directories never evict each other: see DirFds. */
const MIN_DIRS = 16;
/** The same for files: a copy has two. */
const MIN_FILES = 4;
/** Node's own are 24; a copy-up has two. */
const MIN_OTHERS = 40;

/** What opening layers takes beside one descriptor for each: clones, locks, work and its parts, handles. */
const BESIDE_LAYERS = 6;

/** How many descriptors of each kind to keep at most. */
export interface DescriptorBudget {
  readonly dirs: number;
  readonly files: number;
}

/**
 * Shares out what the process may have open, `limit`, when the layers have `taken` of it. Throws a {@link UserError} when
 * that is too little to serve a mount at all.
 */
export function descriptorBudget(limit: number, taken: number): DescriptorBudget {
  const left = limit - taken;
  const kept = left - Math.min(MAX_OTHERS, Math.max(MIN_OTHERS, Math.floor(left / 4)));
  if (kept < MIN_DIRS + MIN_FILES) {
    const needed = taken + MIN_DIRS + MIN_FILES + MIN_OTHERS;
    throw new UserError(
      `only ${limit} files may be open at a time, and these layers need ${needed}: raise the limit of open files (ulimit -n).`,
    );
  }
  const files = Math.max(MIN_FILES, Math.min(Math.floor(kept / 3), kept - MIN_DIRS));
  return { dirs: Math.min(MAX_DIRS, kept - files), files: Math.min(MAX_FILES, files) };
}

/** Fails with the same sentence before layers are opened, for `count` directories. */
export function checkDescriptors(count: number): void {
  descriptorBudget(sys.maxDescriptors(), count + BESIDE_LAYERS);
}
