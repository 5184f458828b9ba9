/** How a filesystem reports failure. */

/**
 * An expected failure, thrown by a {@link FileSystem} method and turned into a reply by the dispatcher alone. It has no stack
 * on purpose: a throw must stay cheap. Anything else that is thrown is a bug: EIO and a logged stack.
 */
export class FsError {
  /** Positive errno, e.g. 2 for ENOENT. */
  readonly errno: number;
  /** What was attempted, for the trace; e.g. `renameat2`. */
  readonly what: string;

  constructor(errno: number, what = '') {
    this.errno = errno;
    this.what = what;
  }
}

/** Throws an {@link FsError} with a positive errno. */
export function fail(errno: number, what?: string): never {
  throw new FsError(errno, what);
}

/** Passes a system call's result through; throws an {@link FsError} when it is `-errno`. */
export function must(rc: number, what: string): number {
  if (rc < 0) throw new FsError(-rc, what);
  return rc;
}

/**
 * Thrown when a request needs work that would keep the session thread busy for long. The work was passed to {@link Jobs}
 * as `job`; the session parks the request and submits it again, unchanged, when the job is done. A method may throw this
 * only while nothing visible has changed yet.
 */
export class Deferred {
  readonly job: number;

  constructor(job: number) {
    this.job = job;
  }
}
