/**
 * Extended attributes by directory descriptor and name; name "" stands for the descriptor itself.
 *
 * Linux has calls that take a directory descriptor since 6.13. Before that, and for O_PATH descriptors themselves (EBADF), a path
 * through /proc works, at several times the cost: `/proc/self/fd/N/name` with the l* calls reaches `name` in the directory N, even
 * if it is a symlink; `/proc/self/fd/N` with the following calls reaches the object of a descriptor, whatever its type.
 */
import { AT_FDCWD, AT_SYMLINK_NOFOLLOW, XATTR_LIST_MAX } from './consts.js';
import { EBADF, ENOSYS, ERANGE } from './errno.js';
import { addressOf, native, nativeSyscall, path, path2, result, TOO_LONG } from './ffi.js';

const getCall = native('int64', 'getxattr', ['void *', 'void *', 'void *', 'uint64']);
const lgetCall = native('int64', 'lgetxattr', ['void *', 'void *', 'void *', 'uint64']);
const setCall = native('int', 'setxattr', ['void *', 'void *', 'void *', 'uint64', 'int']);
const lsetCall = native('int', 'lsetxattr', ['void *', 'void *', 'void *', 'uint64', 'int']);
const listCall = native('int64', 'listxattr', ['void *', 'void *', 'uint64']);
const llistCall = native('int64', 'llistxattr', ['void *', 'void *', 'uint64']);
const removeCall = native('int', 'removexattr', ['void *', 'void *']);
const lremoveCall = native('int', 'lremovexattr', ['void *', 'void *']);

const fgetCall = native('int64', 'fgetxattr', ['int', 'void *', 'void *', 'uint64']);
const fsetCall = native('int', 'fsetxattr', ['int', 'void *', 'void *', 'uint64', 'int']);
const flistCall = native('int64', 'flistxattr', ['int', 'void *', 'uint64']);

const getAtCall = nativeSyscall(['int', 'void *', 'uint', 'void *', 'void *', 'uint64']);
const setAtCall = nativeSyscall(['int', 'void *', 'uint', 'void *', 'void *', 'uint64']);
const listAtCall = nativeSyscall(['int', 'void *', 'uint', 'void *', 'uint64']);

const SYS_SETXATTRAT = 463;
const SYS_GETXATTRAT = 464;
const SYS_LISTXATTRAT = 465;
/** struct xattr_args: address and size of the value, flags. */
const args = Buffer.alloc(16);

const hasAtCalls =
  result(listAtCall(SYS_LISTXATTRAT, AT_FDCWD, path('/'), AT_SYMLINK_NOFOLLOW, null, 0)) !== -ENOSYS;

function setArgs(value: Uint8Array, size: number, flags: number): void {
  args.writeBigUInt64LE(addressOf(value), 0);
  args.writeUInt32LE(size, 8);
  args.writeUInt32LE(flags, 12);
}

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
  const a = path2(attribute);
  if (a === null) return TOO_LONG;
  if (hasAtCalls && name !== '') {
    const n = path(name);
    if (n === null) return TOO_LONG;
    setArgs(into, size, 0);
    return result(getAtCall(SYS_GETXATTRAT, dirfd, n, AT_SYMLINK_NOFOLLOW, a, args, 16));
  }
  if (name === '') {
    const rc = result(fgetCall(dirfd, a, into, size));
    if (rc !== -EBADF) return rc;
  }
  const p = procPath(dirfd, name);
  if (p === null) return TOO_LONG;
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
  const a = path2(attribute);
  if (a === null) return TOO_LONG;
  if (hasAtCalls && name !== '') {
    const n = path(name);
    if (n === null) return TOO_LONG;
    setArgs(value, size, flags);
    return result(setAtCall(SYS_SETXATTRAT, dirfd, n, AT_SYMLINK_NOFOLLOW, a, args, 16));
  }
  if (name === '') {
    const rc = result(fsetCall(dirfd, a, value, size, flags));
    if (rc !== -EBADF) return rc;
  }
  const p = procPath(dirfd, name);
  if (p === null) return TOO_LONG;
  return result(name === '' ? setCall(p, a, value, size, flags) : lsetCall(p, a, value, size, flags));
}

/**
 * NUL-terminated names of all attributes into `into` (at most `size` bytes; 0 asks for the length). Returns their length or
 * -errno.
 */
export function listxattr(dirfd: number, name: string, into: Uint8Array, size: number): number {
  if (hasAtCalls && name !== '') {
    const n = path(name);
    if (n === null) return TOO_LONG;
    return result(listAtCall(SYS_LISTXATTRAT, dirfd, n, AT_SYMLINK_NOFOLLOW, into, size));
  }
  if (name === '') {
    const rc = result(flistCall(dirfd, into, size));
    if (rc !== -EBADF) return rc;
  }
  const p = procPath(dirfd, name);
  if (p === null) return TOO_LONG;
  return result(name === '' ? listCall(p, into, size) : llistCall(p, into, size));
}

let names = Buffer.alloc(4096);
const NONE: readonly string[] = [];

/** Names of all attributes, or -errno. */
export function xattrNames(dirfd: number, name: string): readonly string[] | number {
  let length = listxattr(dirfd, name, names, names.length);
  if (length === -ERANGE) {
    names = Buffer.alloc(XATTR_LIST_MAX);
    length = listxattr(dirfd, name, names, names.length);
  }
  if (length <= 0) return length < 0 ? length : NONE;
  return names.latin1Slice(0, length - 1).split('\0');
}

/** Removes `attribute`. Returns 0 or -errno; -ENODATA when it is not set. */
export function removexattr(dirfd: number, name: string, attribute: string): number {
  const p = procPath(dirfd, name);
  const a = path2(attribute);
  if (p === null || a === null) return TOO_LONG;
  return result(name === '' ? removeCall(p, a) : lremoveCall(p, a));
}
