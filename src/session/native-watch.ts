/**
 * Entry of a thread that waits on descriptors for the main thread, whose event loop can't: for finished jobs, and for the
 * end of the connection. libfuse ends its loop silently; poll(2) reports an error on the device once the kernel has dropped
 * the connection, by unmounting or by an abort.
 */
import { parentPort, workerData } from 'node:worker_threads';
import * as sys from '../sys/index.js';

/** What the thread is started with. */
export interface WatchData {
  /** libfuse's descriptor of the connection. */
  readonly device: number;
  /** Raised when a job has ended. */
  readonly wake: number;
}

/** What it says. */
export type WatchMessage = 'jobs' | 'over';

function say(message: WatchMessage): void {
  parentPort!.postMessage(message);
}

const { device, wake } = workerData as WatchData;
const poller = new sys.Poller([device, wake], [device]);
do {
  poller.wait(-1);
  if (poller.ready(1)) {
    sys.eventfdClear(wake);
    say('jobs');
  }
} while (!poller.ready(0));
say('over');
