/** Jobs on helper threads, seen from the session thread, which has no event loop turns. */
import { MessageChannel, type MessagePort, receiveMessageOnPort, Worker } from 'node:worker_threads';
import * as sys from '../sys/index.js';
import { must } from '../vfs/errors.js';
import type { Job, Jobs } from '../vfs/jobs.js';
import type { Counters } from './counters.js';
import type { HelperData, JobMessage, ResultMessage } from './helper.js';

/** More would not copy faster: they share the same disks, and the machine is needed by the callers. */
const MAX_HELPERS = 2;

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
  readonly #onFinished: ((job: number) => void) | null;
  resumed = 0;
  #last = 0;

  /** `onFinished`: for a thread with an event loop, which is told of each finished job; {@link collect} is then not used. */
  constructor(counters: Counters, onFinished: ((job: number) => void) | null = null) {
    this.wake = must(sys.eventfd(), 'eventfd');
    this.#counters = counters;
    this.#onFinished = onFinished;
  }

  /** Jobs whose result has not come yet. */
  get outstanding(): number {
    return this.#owner.size;
  }

  start(job: Job): number {
    const number = ++this.#last;
    const helper = this.#idleHelper();
    helper.waiting++;
    this.#owner.set(number, helper);
    helper.port.postMessage({ number, job } satisfies JobMessage);
    this.#counters.job();
    return number;
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
    for (const helper of this.#helpers) {
      for (
        let m = receiveMessageOnPort(helper.port);
        m !== undefined;
        m = receiveMessageOnPort(helper.port)
      ) {
        finished.push(this.#settle(helper, m.message as ResultMessage));
      }
    }
    return finished;
  }

  #settle(helper: Helper, { number, result }: ResultMessage): number {
    helper.waiting--;
    this.#owner.delete(number);
    this.#results.set(number, result);
    return number;
  }

  /** Ends the helper threads; nothing may be outstanding. */
  close(): void {
    for (const helper of this.#helpers) helper.port.close();
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
    const onFinished = this.#onFinished;
    if (onFinished !== null) {
      port1.on('message', (message: ResultMessage) => onFinished(this.#settle(helper, message)));
    }
    return helper;
  }
}
