/** Owner, mode and times of a located object: of `name` in `fd`, or with "" of the descriptor itself, O_PATH included. */
import * as sys from '../sys/index.js';

/** chown(2) that follows no symlink; sys.KEEP_ID keeps one of the two. Returns 0 or -errno. */
export function chown(fd: number, name: string, uid: number, gid: number): number {
  return name === '' ? sys.fchown(fd, uid, gid) : sys.fchownat(fd, name, uid, gid);
}

/** chmod(2) that follows no symlink. Returns 0 or -errno. */
export function chmod(fd: number, name: string, mode: number): number {
  return name === '' ? sys.chmodFd(fd, mode) : sys.fchmodat(fd, name, mode);
}

/** utimensat(2) that follows no symlink. Returns 0 or -errno. */
export function setTimes(
  fd: number,
  name: string,
  atime: Readonly<sys.Timespec>,
  mtime: Readonly<sys.Timespec>,
): number {
  return name === '' ? sys.utimensFd(fd, atime, mtime) : sys.utimensat(fd, name, atime, mtime);
}
