/** Jobs on helper threads, seen from the session thread, which has no event loop turns. */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import * as sys from '../sys/index.js';
import { must } from '../vfs/errors.js';
import type { Job, Jobs, SyncJob } from '../vfs/jobs.js';
import type { Counters } from './counters.js';
import type { HelperData, JobMessage, ResultMessage } from './helper.js';

/** More would not copy faster: they share the same disks, and the machine is needed by the callers. */
const MAX_HELPERS = 2;

/** Flushes under way at a time; more go to a helper. */
const MAX_FLUSHES = 64;

interface Helper {
  readonly port: MessagePort;
  waiting: number;
}

/** {@link Jobs} on at most two worker threads that start with the first job that needs them. */
export class HelperJobs implements Jobs {
  /** An eventfd that is raised whenever a result has come. */
  readonly wake: number;
  readonly #counters: Counters;
  readonly #helpers: Helper[] = [];
  readonly #owner = new Map<number, Helper>();
  readonly #results = new Map<number, number>();
  /** Flushes need no thread of ours where the kernel has AIO. Opened by the first; null: it has none. */
  #flusher: sys.AioFlusher | null | undefined;
  resumed = 0;
  #last = 0;

  constructor(counters: Counters) {
    this.wake = must(sys.eventfd(), 'eventfd');
    this.#counters = counters;
  }

  /** Jobs whose result has not come yet. */
  get outstanding(): number {
    return this.#owner.size + (this.#flusher?.running ?? 0);
  }

  start(job: Job): number {
    const number = ++this.#last;
    this.#counters.job();
    if ((job.kind === 'fsync' || job.kind === 'fdatasync') && this.#flush(job, number)) return number;
    const helper = this.#idleHelper();
    helper.waiting++;
    this.#owner.set(number, helper);
    helper.port.postMessage({ number, job } satisfies JobMessage);
    return number;
  }

  #flush(job: SyncJob, number: number): boolean {
    if (this.#flusher === undefined) {
      const opened = sys.AioFlusher.open(MAX_FLUSHES);
      this.#flusher = typeof opened === 'number' ? null : opened;
    }
    const rc = this.#flusher?.submit(job.fd, job.kind === 'fdatasync', number, this.wake);
    return rc === 0;
  }

  take(job: number): number | null {
    const result = this.#results.get(job);
    if (result === undefined) return null;
    this.#results.delete(job);
    return result;
  }

  /** Collects results that have come. Returns the numbers of the finished jobs, in the order they finished. */
  collect(): readonly number[] {
    sys.eventfdClear(this.wake);
    const finished: number[] = [];
    this.#flusher?.collect((number, rc) => {
      this.#results.set(number, rc);
      finished.push(number);
    });
    for (const helper of this.#helpers) {
      for (
        let m = receiveMessageOnPort(helper.port);
        m !== undefined;
        m = receiveMessageOnPort(helper.port)
      ) {
        const { number, result } = m.message as ResultMessage;
        helper.waiting--;
        this.#owner.delete(number);
        this.#results.set(number, result);
        finished.push(number);
      }
    }
    return finished;
  }

  /** Ends the helper threads; nothing may be outstanding. */
  close(): void {
    for (const helper of this.#helpers) helper.port.close();
    this.#flusher?.close();
    sys.close(this.wake);
  }

  #idleHelper(): Helper {
    const least = this.#helpers.reduce<Helper | null>(
      (best, h) => (best === null || h.waiting < best.waiting ? h : best),
      null,
    );
    if (least !== null && (least.waiting === 0 || this.#helpers.length >= MAX_HELPERS)) return least;
    const { port1, port2 } = new MessageChannel();
    const workerData: HelperData = { port: port2, wake: this.wake };
    const worker = new Worker(new URL('./helper.js', import.meta.url), { workerData, transferList: [port2] });
    worker.unref();
    const helper = { port: port1, waiting: 0 };
    this.#helpers.push(helper);
    return helper;
  }
}
