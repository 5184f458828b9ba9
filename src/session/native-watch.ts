/**
 * A thread that waits for the end of a FUSE connection: libfuse ends its loop without telling anyone. poll(2) reports an
 * error on the device once the kernel has given the connection up, whether by unmounting or by an abort.
 */
import { parentPort, workerData } from 'node:worker_threads';
import * as sys from '../sys/index.js';

const poller = new sys.Poller([workerData as number], sys.POLL_ERRORS_ONLY);
do poller.wait(-1);
while (!poller.ready(0));
parentPort!.postMessage('over');
