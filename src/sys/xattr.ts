/**
 * Extended attributes by directory descriptor and name. Linux has no xattr calls that take a directory descriptor
 * before 6.13, so a path through /proc is used: `/proc/self/fd/N/name` with the l* calls reaches `name` in the
 * directory N without following it when it is a symlink; `/proc/self/fd/N` with the following calls reaches the
 * object of an O_PATH descriptor, whatever its type. Name "" stands for the descriptor itself.
 */
import { native, path, path2, result, TOO_LONG } from './ffi.js';

const getCall = native('int64', 'getxattr', ['void *', 'void *', 'void *', 'uint64']);
const lgetCall = native('int64', 'lgetxattr', ['void *', 'void *', 'void *', 'uint64']);
const setCall = native('int', 'setxattr', ['void *', 'void *', 'void *', 'uint64', 'int']);
const lsetCall = native('int', 'lsetxattr', ['void *', 'void *', 'void *', 'uint64', 'int']);
const listCall = native('int64', 'listxattr', ['void *', 'void *', 'uint64']);
const llistCall = native('int64', 'llistxattr', ['void *', 'void *', 'uint64']);
const removeCall = native('int', 'removexattr', ['void *', 'void *']);
const lremoveCall = native('int', 'lremovexattr', ['void *', 'void *']);

function procPath(dirfd: number, name: string): Buffer | null {
  return path(name === '' ? `/proc/self/fd/${dirfd}` : `/proc/self/fd/${dirfd}/${name}`);
}

/** Value of `attribute` into `into` (at most `size` bytes; 0 asks for the length). Returns its length or -errno. */
export function getxattr(
  dirfd: number,
  name: string,
  attribute: string,
  into: Uint8Array,
  size: number,
): number {
  const p = procPath(dirfd, name);
  const a = path2(attribute);
  if (p === null || a === null) return TOO_LONG;
  return result(name === '' ? getCall(p, a, into, size) : lgetCall(p, a, into, size));
}

/** Sets `attribute` to the first `size` bytes of `value`; `flags` are XATTR_CREATE or XATTR_REPLACE or 0. */
export function setxattr(
  dirfd: number,
  name: string,
  attribute: string,
  value: Uint8Array,
  size: number,
  flags = 0,
): number {
  const p = procPath(dirfd, name);
  const a = path2(attribute);
  if (p === null || a === null) return TOO_LONG;
  return result(name === '' ? setCall(p, a, value, size, flags) : lsetCall(p, a, value, size, flags));
}

/** NUL-separated names of all attributes into `into` (at most `size` bytes; 0 asks for the length). */
export function listxattr(dirfd: number, name: string, into: Uint8Array, size: number): number {
  const p = procPath(dirfd, name);
  if (p === null) return TOO_LONG;
  return result(name === '' ? listCall(p, into, size) : llistCall(p, into, size));
}

/** Removes `attribute`; ENODATA when it is not there. */
export function removexattr(dirfd: number, name: string, attribute: string): number {
  const p = procPath(dirfd, name);
  const a = path2(attribute);
  if (p === null || a === null) return TOO_LONG;
  return result(name === '' ? removeCall(p, a) : lremoveCall(p, a));
}
