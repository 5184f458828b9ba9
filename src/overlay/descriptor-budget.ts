/**
 * How many descriptors a mount may keep open, of those that its process may have. Descriptors of directories and files are
 * cached for reuse; what is opened besides for the duration of a call, a copy or a flush, and for callers' unnamed files, needs
 * room as well.
 */
import * as sys from '../sys/index.js';
import { UserError } from './user-error.js';

/** Upper bounds of the caches. */
const MAX_DIRS = 4096;
const MAX_FILES = 1024;
/** Generous bound for everything else that a mount has open. */
const MAX_OTHERS = 512;
/** How many descriptors a mount may hold besides those of its layers, where the limit allows it. */
export const MAX_FDS = MAX_DIRS + MAX_FILES + MAX_OTHERS;

/** Enough that the directories of one operation never evict each other: see DirFds. */
const MIN_DIRS = 16;
/** The same for files: a copy needs two. */
const MIN_FILES = 4;
/** Node itself has 24; a copy-up needs two. */
const MIN_OTHERS = 40;

/** What opening the layers needs besides one descriptor for each: clones, locks, work and its parts, handles. */
const BESIDE_LAYERS = 6;

/** Bounds on cached descriptors of each kind. */
export interface DescriptorBudget {
  readonly dirs: number;
  readonly files: number;
}

/**
 * Divides up the `limit` of the process, of which the layers have `taken` their part. Throws a {@link UserError} when the rest
 * is too small to serve a mount at all.
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

/** Makes the same check for `count` directories before layers are opened. Throws a {@link UserError}. */
export function checkDescriptors(count: number): void {
  descriptorBudget(sys.maxDescriptors(), count + BESIDE_LAYERS);
}
