/** Entry of a helper thread: does jobs one after another, so that the session thread does not wait for them. */
import { type MessagePort, workerData } from 'node:worker_threads';
import * as sys from '../sys/index.js';
import type { Job } from '../vfs/jobs.js';
import { doJob } from './job-work.js';

/** What a helper thread is started with. */
export interface HelperData {
  /** Jobs come in, results go out. */
  readonly port: MessagePort;
  /** Raised after each result: the session thread polls it. */
  readonly wake: number;
  /** The thread's nice value. */
  readonly nice: number;
}

/** A job with its number, to the helper. */
export interface JobMessage {
  readonly number: number;
  readonly job: Job;
}

/** The result of a job (0 or -errno), from the helper. */
export interface ResultMessage {
  readonly number: number;
  readonly result: number;
}

const { port, wake, nice } = workerData as HelperData;
sys.niceThisThread(nice);
port.on('message', ({ number, job }: JobMessage) => {
  port.postMessage({ number, result: doJob(job) } satisfies ResultMessage);
  sys.eventfdSignal(wake);
});
