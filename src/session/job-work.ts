/** The work of a job, on any thread. */
import * as sys from '../sys/index.js';
import type { CopyJob, Job } from '../vfs/jobs.js';

function copy({ from, to, size, flush }: CopyJob): number {
  const rc = sys.copyData(from, to, size);
  if (rc < 0 || flush === 'none') return rc;
  return flush === 'written' ? sys.writeOut(to) : sys.fsync(to);
}

function work(job: Job): number {
  switch (job.kind) {
    case 'copy':
      return copy(job);
    case 'fsync':
      return sys.fsync(job.fd);
    case 'fdatasync':
      return sys.fdatasync(job.fd);
    case 'write-out':
      return sys.writeOut(job.fd);
    case 'syncfs':
      return sys.syncfs(job.fd);
  }
}

/** Does a job. Returns 0 or -errno; -EIO after a bug, so that no request stays parked for ever. */
export function doJob(job: Job): number {
  try {
    return Math.min(work(job), 0);
  } catch {
    return -sys.EIO;
  }
}
