/** Resource limits of this process. */
import { readdirSync } from 'node:fs';
import { F_DUPFD_CLOEXEC } from './consts.js';
import { native, nativeElsewhere } from './ffi.js';
import { close } from './file.js';

const getrlimitCall = native('int', 'getrlimit', ['int', 'void *']);
const setrlimitCall = native('int', 'setrlimit', ['int', 'void *']);
const dupElsewhere = nativeElsewhere('fcntl', ['int', 'int', 'int']);
const RLIMIT_NOFILE = 7;
const RLIMIT_AS = 9;
/** More descriptors than we ever need. */
const ENOUGH = 65536;

/** Raises a limit to `enough`, or as far as allowed. Returns the limit, capped at `enough`; -1 when it is unknown. */
function raise(resource: number, enough: number): number {
  const raw = Buffer.alloc(16);
  if (getrlimitCall(resource, raw) < 0) return -1;
  const soft = raw.readBigUInt64LE(0);
  const hard = raw.readBigUInt64LE(8);
  const wanted = hard < BigInt(enough) ? hard : BigInt(enough);
  if (soft >= wanted) return Math.min(Number(soft), enough);
  raw.writeBigUInt64LE(wanted, 0);
  return setrlimitCall(resource, raw) < 0 ? Number(soft) : Number(wanted);
}

/** Raises the limit of open descriptors as far as needed and allowed, and returns it. */
export function maxDescriptors(): number {
  const most = raise(RLIMIT_NOFILE, ENOUGH);
  return most < 0 ? 1024 : most;
}

/** Raises the limit of address space to `enough` bytes, or as far as allowed. Returns it in bytes, capped at `enough`. */
export function maxAddressSpace(enough: number): number {
  const most = raise(RLIMIT_AS, enough);
  return most < 0 ? enough : most;
}

/** How many more descriptors may be opened, after raising the limit. */
export function freeDescriptors(): number {
  return Math.max(0, maxDescriptors() - readdirSync('/proc/self/fd').length);
}

/**
 * Makes the kernel expand the process's descriptor table to `count` entries, on another thread. Otherwise it doubles the table
 * whenever it is full, each time waiting for an RCU grace period if there are several threads: some 8 ms in the middle of an open
 * (expand_fdtable()). `fd` is any open descriptor. Resolves to 0 or -errno.
 */
export async function reserveDescriptors(fd: number, count: number): Promise<number> {
  const highest = await dupElsewhere(fd, F_DUPFD_CLOEXEC, Math.min(count, maxDescriptors()) - 1);
  return highest < 0 ? highest : close(highest);
}
