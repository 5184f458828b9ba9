/** Descriptors and file data. Offsets and lengths are bytes, given as doubles (exact to 2^53). */
import { F_DUPFD_CLOEXEC, O_NONBLOCK } from './consts.js';
import { EINTR } from './errno.js';
import { native, nativeSyscall, path, result, TOO_LONG } from './ffi.js';

const openatCall = native('int', 'openat', ['int', 'void *', 'int', 'uint']);
const openat2Call = nativeSyscall(['int', 'void *', 'void *', 'uint64']);
const closeCall = native('int', 'close', ['int']);
const preadCall = native('int64', 'pread64', ['int', 'void *', 'uint64', 'int64']);
const pwriteCall = native('int64', 'pwrite64', ['int', 'void *', 'uint64', 'int64']);
const readCall = native('int64', 'read', ['int', 'void *', 'uint64']);
const writeCall = native('int64', 'write', ['int', 'void *', 'uint64']);
const ftruncateCall = native('int', 'ftruncate64', ['int', 'int64']);
const truncateCall = native('int', 'truncate64', ['void *', 'int64']);
const fallocateCall = native('int', 'fallocate64', ['int', 'int', 'int64', 'int64']);
const lseekCall = native('int64', 'lseek64', ['int', 'int64', 'int']);
const fsyncCall = native('int', 'fsync', ['int']);
const fdatasyncCall = native('int', 'fdatasync', ['int']);
const syncfsCall = native('int', 'syncfs', ['int']);
const ioctlInt = native('int', 'ioctl', ['int', 'uint64', 'int64']);
const ioctlBuf = native('int', 'ioctl', ['int', 'uint64', 'void *']);
const copyRangeCall = native('int64', 'copy_file_range', [
  'int',
  'void *',
  'int',
  'void *',
  'uint64',
  'uint',
]);
const syncRangeCall = native('int', 'sync_file_range', ['int', 'int64', 'int64', 'uint']);
const flockCall = native('int', 'flock', ['int', 'int']);
const fcntlCall = native('int', 'fcntl', ['int', 'int', 'int']);

const SYS_OPENAT2 = 437;
const FICLONE = 0x40049409;
const F_GETFD = 1;
const F_GETFL = 3;
const F_SETFL = 4;
const FD_CLOEXEC = 1;

/** Opens `name` relative to `dirfd`. Returns a descriptor or -errno. */
export function openat(dirfd: number, name: string, flags: number, mode = 0): number {
  const p = path(name);
  return p === null ? TOO_LONG : result(openatCall(dirfd, p, flags, mode));
}

const how = Buffer.alloc(24);

/** openat2(2): `resolve` are RESOLVE_* flags. Returns a descriptor or -errno. */
export function openat2(dirfd: number, name: string, flags: number, resolve: number): number {
  const p = path(name);
  if (p === null) return TOO_LONG;
  how.writeBigUInt64LE(BigInt(flags), 0);
  how.writeBigUInt64LE(0n, 8);
  how.writeBigUInt64LE(BigInt(resolve), 16);
  return result(openat2Call(SYS_OPENAT2, dirfd, p, how, 24));
}

/** close(2). Returns 0 or -errno; the descriptor is gone either way. */
export function close(fd: number): number {
  return result(closeCall(fd));
}

/** A second descriptor for the same open file, close-on-exec. */
export function dup(fd: number): number {
  return result(fcntlCall(fd, F_DUPFD_CLOEXEC, 3));
}

/** Makes reads of an open file answer EAGAIN instead of waiting (or wait again). Returns 0 or -errno. */
export function setNonblocking(fd: number, on: boolean): number {
  const flags = result(fcntlCall(fd, F_GETFL, 0));
  if (flags < 0) return flags;
  return result(fcntlCall(fd, F_SETFL, on ? flags | O_NONBLOCK : flags & ~O_NONBLOCK));
}

/** Whether a descriptor is closed on exec, so that children do not inherit it. Returns 1, 0 or -errno. */
export function closesOnExec(fd: number): number {
  const flags = result(fcntlCall(fd, F_GETFD, 0));
  return flags < 0 ? flags : flags & FD_CLOEXEC;
}

/** Reads at most `size` bytes at `offset` into the start of `into`. Returns bytes read or -errno. */
export function pread(fd: number, into: Uint8Array, size: number, offset: number): number {
  return result(preadCall(fd, into, size, offset));
}

/** Writes `size` bytes from the start of `from` at `offset`. Returns bytes written or -errno. */
export function pwrite(fd: number, from: Uint8Array, size: number, offset: number): number {
  return result(pwriteCall(fd, from, size, offset));
}

/** Reads at `offset` until `into` is full or the file ends, in as many calls as needed. Returns bytes read or -errno. */
export function preadAll(fd: number, into: Uint8Array, offset: number): number {
  let done = 0;
  while (done < into.length) {
    const rc = pread(fd, into.subarray(done), into.length - done, offset + done);
    if (rc === -EINTR) continue;
    if (rc < 0) return rc;
    if (rc === 0) break;
    done += rc;
  }
  return done;
}

/** Writes all of `from` at `offset`, in as many calls as needed. Returns 0 or -errno. */
export function pwriteAll(fd: number, from: Uint8Array, offset: number): number {
  for (let done = 0; done < from.length; ) {
    const rc = pwrite(fd, from.subarray(done), from.length - done, offset + done);
    if (rc === -EINTR) continue;
    if (rc < 0) return rc;
    done += rc;
  }
  return 0;
}

/** read(2) at the descriptor's own position. Returns bytes read or -errno. */
export function read(fd: number, into: Uint8Array, size: number): number {
  return result(readCall(fd, into, size));
}

/** write(2) at the descriptor's own position. Returns bytes written or -errno. */
export function write(fd: number, from: Uint8Array, size: number): number {
  return result(writeCall(fd, from, size));
}

/** ftruncate(2): sets the length of an open file in bytes. Returns 0 or -errno. */
export function ftruncate(fd: number, size: number): number {
  return result(ftruncateCall(fd, size));
}

/** truncate(2): sets the length of a file by its path, following symlinks. Returns 0 or -errno. */
export function truncate(name: string, size: number): number {
  const p = path(name);
  return p === null ? TOO_LONG : result(truncateCall(p, size));
}

/** fallocate(2); `mode` are FALLOC_FL_* flags. Returns 0 or -errno. */
export function fallocate(fd: number, mode: number, offset: number, length: number): number {
  return result(fallocateCall(fd, mode, offset, length));
}

/** lseek(2). Returns the new offset or -errno. */
export function lseek(fd: number, offset: number, whence: number): number {
  return result(lseekCall(fd, offset, whence));
}

/** fsync(2): flushes data and metadata to stable storage. Returns 0 or -errno. */
export function fsync(fd: number): number {
  return result(fsyncCall(fd));
}

/** fdatasync(2): flushes data and the metadata needed to read it. Returns 0 or -errno. */
export function fdatasync(fd: number): number {
  return result(fdatasyncCall(fd));
}

/** syncfs(2): flushes the filesystem that `fd` is on. Returns 0 or -errno, also for an earlier writeback error (Linux 5.8). */
export function syncfs(fd: number): number {
  return result(syncfsCall(fd));
}

export const SYNC_FILE_RANGE_WAIT_BEFORE = 1;
const SYNC_FILE_RANGE_WRITE = 2;
const SYNC_FILE_RANGE_WAIT_AFTER = 4;

/** sync_file_range(2). Returns 0 or -errno, also for a writeback error that the descriptor has not reported yet. */
export function syncFileRange(fd: number, offset: number, length: number, flags: number): number {
  return result(syncRangeCall(fd, offset, length, flags));
}

/** Starts writing the dirty pages of a file to its disk, without waiting. Returns 0 or -errno. */
export function startWriteOut(fd: number): number {
  return syncFileRange(fd, 0, 0, SYNC_FILE_RANGE_WRITE);
}

/**
 * Writes the dirty pages of a file and waits until the disk has accepted them. Not a flush: neither the disk's cache nor the
 * filesystem's journal is written out. Returns 0 or -errno.
 */
export function writeOut(fd: number): number {
  const flags = SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER;
  return syncFileRange(fd, 0, 0, flags);
}

/** Makes `to` share all blocks of `from` (FICLONE). Returns 0 or -errno (EOPNOTSUPP, EXDEV, EINVAL: not possible). */
export function ficlone(to: number, from: number): number {
  return result(ioctlInt(to, FICLONE, from));
}

/** ioctl(2) with a buffer as argument and result. Returns `>= 0` or -errno. */
export function ioctl(fd: number, command: number, argument: Uint8Array): number {
  return result(ioctlBuf(fd, command, argument));
}

const inOff = Buffer.alloc(8);
const outOff = Buffer.alloc(8);

/** copy_file_range(2) at explicit offsets. Returns bytes copied (0 at end of file) or -errno. */
export function copyFileRange(
  from: number,
  fromOffset: number,
  to: number,
  toOffset: number,
  length: number,
): number {
  inOff.writeBigInt64LE(BigInt(fromOffset));
  outOff.writeBigInt64LE(BigInt(toOffset));
  return result(copyRangeCall(from, inOff, to, outOff, length, 0));
}

export const LOCK_SH = 1;
export const LOCK_EX = 2;
export const LOCK_NB = 4;

/** flock(2). Returns 0 or -errno (EAGAIN with LOCK_NB: somebody else holds the lock). */
export function flock(fd: number, operation: number): number {
  return result(flockCall(fd, operation));
}
