/** Owner, mode and times of files. */
import {
  AT_EMPTY_PATH,
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  O_CLOEXEC,
  O_NOFOLLOW,
  O_PATH,
  S_IFLNK,
  S_IFMT,
} from './consts.js';
import { EBADF, EOPNOTSUPP } from './errno.js';
import { native, nativeSyscall, path, result, TOO_LONG } from './ffi.js';
import { close, openat } from './file.js';
import { fstatx, Stat } from './stat.js';
import type { Timespec } from './timespec.js';

const fchownatCall = native('int', 'fchownat', ['int', 'void *', 'uint', 'uint', 'int']);
const fchmodCall = native('int', 'fchmod', ['int', 'uint']);
const fchmodatCall = native('int', 'fchmodat', ['int', 'void *', 'uint', 'int']);
const fchmodat2Call = nativeSyscall(['int', 'void *', 'uint', 'int']);
const utimensatCall = native('int', 'utimensat', ['int', 'void *', 'void *', 'int']);
const futimensCall = native('int', 'futimens', ['int', 'void *']);

/** "Leave as it is" for an owner or group. */
export const KEEP_ID = 0xffffffff;

/** Changes owner and group of `name`, not following a symlink; {@link KEEP_ID} keeps one of them. */
export function fchownat(dirfd: number, name: string, uid: number, gid: number): number {
  const p = path(name);
  return p === null ? TOO_LONG : result(fchownatCall(dirfd, p, uid, gid, AT_SYMLINK_NOFOLLOW));
}

/** Sets owner and group of an open descriptor, O_PATH included. */
export function fchown(fd: number, uid: number, gid: number): number {
  return result(fchownatCall(fd, path(''), uid, gid, AT_EMPTY_PATH));
}

/** Sets mode bits of an open descriptor (not O_PATH). */
export function fchmod(fd: number, mode: number): number {
  return result(fchmodCall(fd, mode));
}

/** Sets mode bits of any descriptor, O_PATH included, by its name in /proc. */
export function chmodFd(fd: number, mode: number): number {
  return result(fchmodatCall(AT_FDCWD, path(`/proc/self/fd/${fd}`), mode, 0));
}

/** Linux 6.6. Where it exists, it checks the descriptor first. */
const SYS_FCHMODAT2 = 452;
const hasFchmodat2 = result(fchmodat2Call(SYS_FCHMODAT2, -1, path('.'), 0, 0)) === -EBADF;

const stat = new Stat();

/**
 * Sets mode bits by name. A symlink is not followed, even if it has just replaced the object: EOPNOTSUPP.
 */
export function fchmodat(dirfd: number, name: string, mode: number): number {
  const p = path(name);
  if (p === null) return TOO_LONG;
  if (hasFchmodat2) return result(fchmodat2Call(SYS_FCHMODAT2, dirfd, p, mode, AT_SYMLINK_NOFOLLOW));
  return chmodOpened(dirfd, name, mode);
}

/** The same for older kernels. */
export function chmodOpened(dirfd: number, name: string, mode: number): number {
  const fd = openat(dirfd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
  if (fd < 0) return fd;
  let rc = fstatx(fd, stat);
  if (rc >= 0) rc = (stat.mode & S_IFMT) === S_IFLNK ? -EOPNOTSUPP : chmodFd(fd, mode);
  close(fd);
  return rc;
}

const times = Buffer.alloc(32);

/** The largest second that the kernel accepts; a double can't represent it. */
const LAST_SECOND = 2n ** 63n - 1n;

function putTime(at: number, seconds: number, nanoseconds: number): void {
  times.writeBigInt64LE(seconds >= 2 ** 63 ? LAST_SECOND : BigInt(seconds), at);
  times.writeBigInt64LE(BigInt(nanoseconds), at + 8);
}

/** Sets atime and mtime of `name`, not following a symlink. */
export function utimensat(
  dirfd: number,
  name: string,
  atime: Readonly<Timespec>,
  mtime: Readonly<Timespec>,
): number {
  const p = path(name);
  if (p === null) return TOO_LONG;
  putTime(0, atime.sec, atime.nsec);
  putTime(16, mtime.sec, mtime.nsec);
  return result(utimensatCall(dirfd, p, times, AT_SYMLINK_NOFOLLOW));
}

/** Sets atime and mtime of an open file (not O_PATH). */
export function futimens(fd: number, atime: Readonly<Timespec>, mtime: Readonly<Timespec>): number {
  putTime(0, atime.sec, atime.nsec);
  putTime(16, mtime.sec, mtime.nsec);
  return result(futimensCall(fd, times));
}

/** Sets atime and mtime of any descriptor, O_PATH included, by its name in /proc. */
export function utimensFd(fd: number, atime: Readonly<Timespec>, mtime: Readonly<Timespec>): number {
  const p = path(`/proc/self/fd/${fd}`);
  if (p === null) return TOO_LONG;
  putTime(0, atime.sec, atime.nsec);
  putTime(16, mtime.sec, mtime.nsec);
  return result(utimensatCall(AT_FDCWD, p, times, 0));
}
