/** How deeply idle CPUs may sleep: the kernel's PM QoS, by constraints that hold as long as a process has a descriptor open. */
import { AT_FDCWD, O_CLOEXEC, O_RDWR } from './consts.js';
import { native } from './ffi.js';
import { openat, write } from './file.js';

const onlineCall = native('int', 'get_nprocs', []);

/** PM_QOS_DEFAULT_VALUE. */
const NO_CONSTRAINT = -1;

const value = Buffer.alloc(4);

/** CPUs that are online, whichever of them this process may use. */
export function onlineCpus(): number {
  return onlineCall();
}

/** A descriptor for a constraint, which ends when it is closed; -errno (EACCES for others than root). */
export function openCpuLatency(): number {
  return openat(AT_FDCWD, '/dev/cpu_dma_latency', O_RDWR | O_CLOEXEC);
}

/**
 * Says how long any CPU of the machine may take to wake up, in microseconds; null: as the system likes. With 0 idle CPUs
 * poll in place of halting (cpuidle_governor_latency_req()). Returns 4 or -errno.
 */
export function constrainCpuLatency(fd: number, microseconds: number | null): number {
  value.writeInt32LE(microseconds ?? NO_CONSTRAINT);
  return write(fd, value, value.length);
}
