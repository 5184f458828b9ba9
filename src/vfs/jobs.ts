/** Long work that leaves the session thread. */

/** Copies file data between two open descriptors of this process (any thread may use them). */
export interface CopyJob {
  readonly kind: 'copy';
  readonly from: number;
  readonly to: number;
  /** Bytes to copy; holes of `from` stay holes in `to`, which must be empty. */
  readonly size: number;
  /** Flush `to` to stable storage after the copy. */
  readonly sync: boolean;
}

/** Flushes an open descriptor to stable storage. */
export interface SyncJob {
  readonly kind: 'fsync' | 'fdatasync' | 'syncfs';
  readonly fd: number;
}

export type Job = CopyJob | SyncJob;

/** Runs jobs on helper threads; implemented by the session. */
export interface Jobs {
  /** Starts a job. Returns its number, for {@link Deferred}. */
  start(job: Job): number;
  /**
   * Result of a finished job, once: 0 or `-errno`; null while it runs. A request that was parked on the job is
   * handed in again after this is non-null.
   */
  take(job: number): number | null;
  /** The job on which the request being served was parked; 0 when it is served for the first time. */
  readonly resumed: number;
}
