/** Limits of this process. */
import { native } from './ffi.js';

const getrlimitCall = native('int', 'getrlimit', ['int', 'void *']);
const setrlimitCall = native('int', 'setrlimit', ['int', 'void *']);
const RLIMIT_NOFILE = 7;
/** More than any use of ours needs. */
const ENOUGH = 65536;

/** Raises the limit of open descriptors as far as allowed, and returns it. */
export function maxDescriptors(): number {
  const raw = Buffer.alloc(16);
  if (getrlimitCall(RLIMIT_NOFILE, raw) < 0) return 1024;
  const soft = raw.readBigUInt64LE(0);
  const hard = raw.readBigUInt64LE(8);
  const wanted = hard < BigInt(ENOUGH) ? hard : BigInt(ENOUGH);
  if (soft >= wanted) return Math.min(Number(soft), ENOUGH);
  raw.writeBigUInt64LE(wanted, 0);
  return setrlimitCall(RLIMIT_NOFILE, raw) < 0 ? Number(soft) : Number(wanted);
}
