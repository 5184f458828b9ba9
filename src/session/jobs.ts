/** Jobs on helper threads, from the session thread's side: it polls for results, since it serves no events within a request. */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import * as sys from '../sys/index.js';
import { must } from '../vfs/errors.js';
import type { Job, Jobs, SyncJob } from '../vfs/jobs.js';
import type { Log } from '../vfs/log.js';
import type { Counters } from './counters.js';
import type { HelperData, JobMessage, ResultMessage } from './helper.js';
import { doJob } from './job-work.js';

/** More would not copy faster: they share the same disks, and callers need the CPUs. */
const MAX_HELPERS = 2;

/** Concurrent AIO flushes; further ones go to a helper. */
const MAX_FLUSHES = 64;

/** Nice value of helpers: on few CPUs a copy would otherwise preempt the callers that were just answered. */
const HELPER_NICE = 10;

interface Helper {
  readonly port: MessagePort;
  waiting: number;
}

/** Starts a helper thread. Throws when the system can't create one. */
export type StartHelper = (data: HelperData) => Worker;

function startHelper(workerData: HelperData): Worker {
  return new Worker(new URL('./helper.js', import.meta.url), { workerData, transferList: [workerData.port] });
}

/** {@link Jobs} on at most {@link MAX_HELPERS} worker threads, which are started when first needed. */
export class HelperJobs implements Jobs {
  /** An eventfd that is raised whenever a result arrives. */
  readonly wake: number;
  readonly #counters: Counters;
  readonly #log: Log;
  readonly #startHelper: StartHelper;
  readonly #helpers: Helper[] = [];
  readonly #owner = new Map<number, Helper>();
  readonly #results = new Map<number, number>();
  /** Jobs that ended on this thread; they are collected like the others. */
  #ended: number[] = [];
  /** With kernel AIO, flushes need no thread of ours. Opened by the first flush; null: the kernel has none. */
  #flusher: sys.AioFlusher | null | undefined;
  resumed = 0;
  #last = 0;

  constructor(counters: Counters, log: Log, start: StartHelper = startHelper) {
    this.wake = must(sys.eventfd(), 'eventfd');
    this.#counters = counters;
    this.#log = log;
    this.#startHelper = start;
  }

  /** Number of jobs without a result yet. */
  get outstanding(): number {
    return this.#owner.size + this.#ended.length + (this.#flusher?.running ?? 0);
  }

  start(job: Job): number {
    const number = ++this.#last;
    this.#counters.job();
    if ((job.kind === 'fsync' || job.kind === 'fdatasync') && this.#flush(job, number)) return number;
    const helper = this.#idleHelper();
    if (helper === null) {
      this.#end(number, doJob(job));
      return number;
    }
    helper.waiting++;
    this.#owner.set(number, helper);
    helper.port.postMessage({ number, job } satisfies JobMessage);
    return number;
  }

  #end(number: number, result: number): void {
    this.#results.set(number, result);
    this.#ended.push(number);
    sys.eventfdSignal(this.wake);
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

  /** Collects the results that have arrived. Returns the numbers of the finished jobs, in the order they finished. */
  collect(): readonly number[] {
    sys.eventfdClear(this.wake);
    const finished = this.#ended;
    this.#ended = [];
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

  /** An idle helper, a new one, or the least busy one; null when there is none and none can be started. */
  #idleHelper(): Helper | null {
    const least = this.#helpers.reduce<Helper | null>(
      (best, h) => (best === null || h.waiting < best.waiting ? h : best),
      null,
    );
    if (least !== null && (least.waiting === 0 || this.#helpers.length >= MAX_HELPERS)) return least;
    const { port1, port2 } = new MessageChannel();
    const helper = { port: port1, waiting: 0 };
    try {
      const worker = this.#startHelper({ port: port2, wake: this.wake, nice: HELPER_NICE });
      worker.unref();
      worker.on('error', (error) => this.#lose(helper, error));
    } catch (error) {
      port1.close();
      this.#log.warn({ err: error }, 'no helper thread');
      return least;
    }
    this.#helpers.push(helper);
    return helper;
  }

  /** A helper died of a bug: its jobs end with EIO. */
  #lose(helper: Helper, error: Error): void {
    this.#log.error({ err: error }, 'a helper thread ended');
    this.#helpers.splice(this.#helpers.indexOf(helper), 1);
    helper.port.close();
    for (const [number, owner] of this.#owner) {
      if (owner !== helper) continue;
      this.#owner.delete(number);
      this.#end(number, -sys.EIO);
    }
  }
}
