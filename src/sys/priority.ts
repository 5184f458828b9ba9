/** Scheduling priority of the threads of this process. */
import { readdirSync, readlinkSync } from 'node:fs';
import { native } from './ffi.js';

const setpriorityCall = native('int', 'setpriority', ['int', 'uint', 'int']);
const PRIO_PROCESS = 0;

/** Sets the nice value of the calling thread. Best effort. */
export function niceThisThread(nice: number): void {
  setpriorityCall(PRIO_PROCESS, 0, nice);
}

/**
 * Sets the nice value of every other thread that exists now but for the main one. Best effort: a thread may end meanwhile,
 * and without /proc nothing is changed. `nice` above the present value needs no privilege, and can't be taken back without.
 */
export function niceOtherThreads(nice: number): void {
  let own: string;
  let threads: string[];
  try {
    own = readlinkSync('/proc/thread-self').replace(/.*\//, '');
    threads = readdirSync('/proc/self/task');
  } catch {
    return;
  }
  for (const thread of threads) {
    if (thread !== own && thread !== String(process.pid)) setpriorityCall(PRIO_PROCESS, Number(thread), nice);
  }
}
