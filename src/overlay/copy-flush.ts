/**
 * What keeps a crash from showing a copied-up file without its data. The kernel flushes the file before it installs it
 * (ovl_should_sync(), ovl_copy_up_file()): a journal commit for each. Where the filesystem commits in order it is enough
 * that the data was written; that goes on while the copy gets its attributes.
 */
import { performance } from 'node:perf_hooks';
import * as sys from '../sys/index.js';
import type { CopyFlush } from '../vfs/jobs.js';
import type { OpenedLayers } from './config.js';

/** A wait that takes longer than this (milliseconds) belongs on a helper thread. */
const SHORT = 1;
/** So many waits go there before it is tried here again. */
const REST = 64;

/** How far a mount's copy-ups must have got before they are installed. */
export function copyFlushOf({ options, features }: OpenedLayers): CopyFlush {
  if (options.volatile || options.fsync === 'volatile') return 'none';
  return options.fsync === 'auto' && features.commitsInOrder ? 'written' : 'durable';
}

/** Writes the data of small copies to the disk, on the session thread as long as the disk is quick. */
export class WriteOuts {
  #elsewhere = 0;
  readonly #now: () => number;

  /** `now`: a clock in milliseconds. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now;
  }

  /** Begins to write `fd`'s data. Whether {@link finish} is better left to a helper thread. */
  begin(fd: number): boolean {
    // An error comes again from finish().
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
