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
 * Sets the nice value of every other existing thread except the main one. Best effort: a thread may end in the meantime, and
 * without /proc nothing is changed. Raising the value needs no privilege; lowering it again does.
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
