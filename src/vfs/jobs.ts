/** Long work that leaves the session thread. */

/**
 * How far copied data must have progressed: not at all, written to the disk (which may still hold it in its cache), or on
 * stable storage.
 */
export type CopyFlush = 'none' | 'written' | 'durable';

/** Copies file data between two open descriptors of this process (any thread may use them). */
export interface CopyJob {
  readonly kind: 'copy';
  readonly from: number;
  readonly to: number;
  /** Bytes to copy; holes of `from` stay holes in `to`, which must be empty. */
  readonly size: number;
  /** How far the data in `to` must have progressed when the job is done. */
  readonly flush: CopyFlush;
}

/** Flushes an open descriptor to stable storage. */
export interface SyncJob {
  readonly kind: 'fsync' | 'fdatasync' | 'syncfs';
  readonly fd: number;
}

/** Waits until the data of an open descriptor is written to its disk; see sys.writeOut(). */
export interface WriteOutJob {
  readonly kind: 'write-out';
  readonly fd: number;
}

/** Work for another thread: descriptors in, one number out. */
export type Job = CopyJob | SyncJob | WriteOutJob;

/** Runs jobs on helper threads; implemented by the session. */
export interface Jobs {
  /** Starts a job. Returns its number, for {@link Deferred}. */
  start(job: Job): number;
  /**
   * Result of a finished job, once: 0 or `-errno`; null while it runs. A request that was parked on the job is submitted
   * again when there is a result.
   */
  take(job: number): number | null;
  /** The job on which the request being served was parked; 0 when it is served for the first time. */
  readonly resumed: number;
}
