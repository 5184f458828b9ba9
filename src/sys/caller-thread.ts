/** What /proc shows about a thread that waits for our answer. */
import { readFileSync, readlinkSync } from 'node:fs';
import { isSystemError } from './errno.js';

/** The initial user namespace has this inode number (PROC_USER_INIT_INO). */
export const INITIAL_USER_NAMESPACE = 'user:[4026531837]';

const pause = new Int32Array(new SharedArrayBuffer(4));
/** A caller that has just sent its request may not be asleep yet: it is checked again, for at most so many milliseconds. */
const PATIENCE_MS = 20;

function read(tid: number, file: string): string | null {
  try {
    return tid === 0 ? null : readFileSync(`/proc/${tid}/${file}`, 'latin1');
  } catch (error) {
    // No permission, or there is no /proc.
    if (isSystemError(error)) return null;
    throw error;
  }
}

/** Number of the system call that a thread sleeps in, on its architecture; -1: in none; null: unknown. */
export function syscallOf(tid: number): number | null {
  for (let waited = 0; ; waited++) {
    const text = read(tid, 'syscall');
    if (text === null) return null;
    if (!text.startsWith('running')) return Number.parseInt(text, 10);
    if (waited === PATIENCE_MS) return null;
    Atomics.wait(pause, 0, 0, 1);
  }
}

/** A line of the thread's status; "" when it can't be read. */
function status(tid: number, field: string): string {
  return new RegExp(`^${field}:\\s*(.*)$`, 'm').exec(read(tid, 'status') ?? '')?.[1] ?? '';
}

/** Supplementary groups of a thread; empty when they are unknown. */
export function groupsOf(tid: number): number[] {
  return status(tid, 'Groups').split(/\s+/).filter(Boolean).map(Number);
}

/** Whether a thread has a capability in the initial user namespace, like capable(); false when that is unknown. */
export function isCapable(tid: number, capability: number): boolean {
  const set = BigInt(`0x${status(tid, 'CapEff') || '0'}`);
  if (((set >> BigInt(capability)) & 1n) === 0n) return false;
  try {
    return readlinkSync(`/proc/${tid}/ns/user`) === INITIAL_USER_NAMESPACE;
  } catch (error) {
    if (isSystemError(error)) return false;
    throw error;
  }
}
