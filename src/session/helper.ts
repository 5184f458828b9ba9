/** A helper thread: does jobs one after the other, so that the session thread does not wait for them. */
import { type MessagePort, workerData } from 'node:worker_threads';
import * as sys from '../sys/index.js';
import type { CopyJob, Job } from '../vfs/jobs.js';

/** What a helper thread is started with. */
export interface HelperData {
  /** Jobs come in, results go out. */
  readonly port: MessagePort;
  /** Raised after each result: the session thread polls it. */
  readonly wake: number;
}

/** A job with its number, to the helper. */
export interface JobMessage {
  readonly number: number;
  readonly job: Job;
}

/** Its result (0 or -errno), back. */
export interface ResultMessage {
  readonly number: number;
  readonly result: number;
}

function copy({ from, to, size, flush }: CopyJob): number {
  const rc = sys.copyData(from, to, size);
  if (rc < 0 || flush === 'none') return rc;
  return flush === 'written' ? sys.writeOut(to) : sys.fsync(to);
}

function run(job: Job): number {
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

/** A bug in a job must not leave its requests parked for ever. */
function runSafely(job: Job): number {
  try {
    return Math.min(run(job), 0);
  } catch {
    return -sys.EIO;
  }
}

const { port, wake } = workerData as HelperData;
port.on('message', ({ number, job }: JobMessage) => {
  port.postMessage({ number, result: runSafely(job) } satisfies ResultMessage);
  sys.eventfdSignal(wake);
});
