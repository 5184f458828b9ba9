/** Owner, mode and times of files. */
import { AT_EMPTY_PATH, AT_FDCWD, AT_SYMLINK_NOFOLLOW } from './consts.js';
import { native, path, result, TOO_LONG } from './ffi.js';

const fchownatCall = native('int', 'fchownat', ['int', 'void *', 'uint', 'uint', 'int']);
const fchmodCall = native('int', 'fchmod', ['int', 'uint']);
const fchmodatCall = native('int', 'fchmodat', ['int', 'void *', 'uint', 'int']);
const utimensatCall = native('int', 'utimensat', ['int', 'void *', 'void *', 'int']);
const futimensCall = native('int', 'futimens', ['int', 'void *']);

/** "Leave as it is" for an owner or group. */
export const KEEP_ID = 0xffffffff;
/** Values of nanoseconds with a meaning of their own (utimensat(2)). */
export const UTIME_NOW = 0x3fffffff;
export const UTIME_OMIT = 0x3ffffffe;

/** Changes owner and group of `name`, not following a symlink; {@link KEEP_ID} keeps one of them. */
export function fchownat(dirfd: number, name: string, uid: number, gid: number): number {
  const p = path(name);
  return p === null ? TOO_LONG : result(fchownatCall(dirfd, p, uid, gid, AT_SYMLINK_NOFOLLOW));
}

/** Owner and group of an open descriptor, O_PATH included. */
export function fchown(fd: number, uid: number, gid: number): number {
  return result(fchownatCall(fd, path(''), uid, gid, AT_EMPTY_PATH));
}

/** Mode bits of an open descriptor (not O_PATH). */
export function fchmod(fd: number, mode: number): number {
  return result(fchmodCall(fd, mode));
}

/** Mode bits by name. It follows symlinks: only for a name that is known not to be one. */
export function fchmodat(dirfd: number, name: string, mode: number): number {
  const p = path(name);
  return p === null ? TOO_LONG : result(fchmodatCall(dirfd, p, mode, 0));
}

const times = Buffer.alloc(32);

function putTime(at: number, seconds: number, nanoseconds: number): void {
  times.writeBigInt64LE(BigInt(seconds), at);
  times.writeBigInt64LE(BigInt(nanoseconds), at + 8);
}

/** A moment as seconds since the epoch and nanoseconds, or UTIME_NOW / UTIME_OMIT in `nsec`. */
export interface Moment {
  readonly sec: number;
  readonly nsec: number;
}

/** Sets atime and mtime of `name`, not following a symlink. */
export function utimensat(dirfd: number, name: string, atime: Moment, mtime: Moment): number {
  const p = path(name);
  if (p === null) return TOO_LONG;
  putTime(0, atime.sec, atime.nsec);
  putTime(16, mtime.sec, mtime.nsec);
  return result(utimensatCall(dirfd, p, times, AT_SYMLINK_NOFOLLOW));
}

/** Sets atime and mtime of an open file (not O_PATH). */
export function futimens(fd: number, atime: Moment, mtime: Moment): number {
  putTime(0, atime.sec, atime.nsec);
  putTime(16, mtime.sec, mtime.nsec);
  return result(futimensCall(fd, times));
}

/** Sets atime and mtime of any descriptor, O_PATH included, by its name in /proc. */
export function utimensFd(fd: number, atime: Moment, mtime: Moment): number {
  const p = path(`/proc/self/fd/${fd}`);
  if (p === null) return TOO_LONG;
  putTime(0, atime.sec, atime.nsec);
  putTime(16, mtime.sec, mtime.nsec);
  return result(utimensatCall(AT_FDCWD, p, times, 0));
}
