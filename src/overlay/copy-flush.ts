/**
 * Keeping a crash from exposing a copied-up file without its data. The kernel flushes the file before installing it
 * (ovl_should_sync(), ovl_copy_up_file()), at the cost of a journal commit each. Where the filesystem commits in order it is
 * enough that the data was written, which proceeds while the copy gets its attributes.
 */
import { performance } from 'node:perf_hooks';
import * as sys from '../sys/index.js';
import type { CopyFlush } from '../vfs/jobs.js';
import type { OpenedLayers } from './config.js';

/** Milliseconds; a longer wait belongs on a helper thread. */
const SHORT = 1;
/** How many waits go there before one is tried on the session thread again. */
const REST = 64;

/** How far the data of a mount's copy-ups must have progressed before they are installed. */
export function copyFlushOf({ options, features }: OpenedLayers): CopyFlush {
  if (options.volatile || options.fsync === 'volatile') return 'none';
  return options.fsync === 'auto' && features.commitsInOrder ? 'written' : 'durable';
}

/** Writes the data of small copies to the disk, on the session thread as long as the disk is fast. */
export class WriteOuts {
  #elsewhere = 0;
  readonly #now: () => number;

  /** `now`: a clock in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Starts writing `fd`'s data. Returns whether {@link finish} is better left to a helper thread. */
  begin(fd: number): boolean {
    // finish() reports an error again.
    sys.startWriteOut(fd);
    if (this.#elsewhere === 0) return false;
    this.#elsewhere--;
    return true;
  }

  /** Waits until the data is written. Returns 0 or -errno. */
  finish(fd: number): number {
    const before = this.#now();
    const rc = sys.writeOut(fd);
    if (this.#now() - before > SHORT) this.#elsewhere = REST;
    return rc;
  }
}
