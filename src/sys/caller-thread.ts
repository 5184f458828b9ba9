/** What /proc tells of a thread that waits for our answer. */
import { readFileSync } from 'node:fs';
import { isSystemError } from './errno.js';

const pause = new Int32Array(new SharedArrayBuffer(4));
/** A caller that has just sent its request may not be asleep yet: it is looked at again, for at most so many milliseconds. */
const PATIENCE_MS = 20;

function read(tid: number, file: string): string | null {
  try {
    return tid === 0 ? null : readFileSync(`/proc/${tid}/${file}`, 'latin1');
  } catch (error) {
    // It is not ours to look at, or there is no /proc.
    if (isSystemError(error)) return null;
    throw error;
  }
}

/** Number of the system call that a thread sleeps in, as its architecture counts; -1: in none; null: that can't be told. */
export function syscallOf(tid: number): number | null {
  for (let waited = 0; ; waited++) {
    const text = read(tid, 'syscall');
    if (text === null) return null;
    if (!text.startsWith('running')) return Number.parseInt(text, 10);
    if (waited === PATIENCE_MS) return null;
    Atomics.wait(pause, 0, 0, 1);
  }
}

/** Supplementary groups of a thread; empty when they can't be told. */
export function groupsOf(tid: number): number[] {
  const line = /^Groups:(.*)$/m.exec(read(tid, 'status') ?? '')?.[1] ?? '';
  return line.split(/\s+/).filter(Boolean).map(Number);
}
