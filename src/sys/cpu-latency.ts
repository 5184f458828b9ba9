/** How deeply idle CPUs may sleep: PM QoS constraints, each in force as long as a process has a descriptor open. */
import { AT_FDCWD, O_CLOEXEC, O_RDWR } from './consts.js';
import { native } from './ffi.js';
import { openat, write } from './file.js';

const onlineCall = native('int', 'get_nprocs', []);

/** PM_QOS_DEFAULT_VALUE. */
const NO_CONSTRAINT = -1;

const value = Buffer.alloc(4);

/** Number of online CPUs, regardless of which this process may use. */
export function onlineCpus(): number {
  return onlineCall();
}

/** Opens a descriptor for a constraint, which ends when it is closed. Returns it or -errno (EACCES unless root). */
export function openCpuLatency(): number {
  return openat(AT_FDCWD, '/dev/cpu_dma_latency', O_RDWR | O_CLOEXEC);
}

/**
 * Limits how long any CPU of the machine may take to wake up, in microseconds; null: no limit. With 0, idle CPUs poll instead of
 * halting (cpuidle_governor_latency_req()). Returns 4 or -errno.
 */
export function constrainCpuLatency(fd: number, microseconds: number | null): number {
  value.writeInt32LE(microseconds ?? NO_CONSTRAINT);
  return write(fd, value, value.length);
}
