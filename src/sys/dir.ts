/** Names in directories: create, link, rename, remove, list; all relative to a directory descriptor. */
import { native, path, path2, result, TOO_LONG } from './ffi.js';

const mkdiratCall = native('int', 'mkdirat', ['int', 'void *', 'uint']);
const mknodatCall = native('int', 'mknodat', ['int', 'void *', 'uint', 'uint64']);
const symlinkatCall = native('int', 'symlinkat', ['void *', 'int', 'void *']);
const linkatCall = native('int', 'linkat', ['int', 'void *', 'int', 'void *', 'int']);
const unlinkatCall = native('int', 'unlinkat', ['int', 'void *', 'int']);
const renameat2Call = native('int', 'renameat2', ['int', 'void *', 'int', 'void *', 'uint']);
const readlinkatCall = native('int64', 'readlinkat', ['int', 'void *', 'void *', 'uint64']);
const getdents64Call = native('int64', 'getdents64', ['int', 'void *', 'uint64']);

/** mkdirat(2); the umask applies. Returns 0 or -errno. */
export function mkdirat(dirfd: number, name: string, mode: number): number {
  const p = path(name);
  return p === null ? TOO_LONG : result(mkdiratCall(dirfd, p, mode));
}

/** Device number as glibc's makedev() packs it. */
function makedev(major: number, minor: number): bigint {
  const M = BigInt(major);
  const m = BigInt(minor);
  return (m & 0xffn) | ((M & 0xfffn) << 8n) | ((m & ~0xffn) << 12n) | ((M & ~0xfffn) << 32n);
}

/** mknodat(2); `mode` includes the type, and the umask applies. Returns 0 or -errno. */
export function mknodat(dirfd: number, name: string, mode: number, major = 0, minor = 0): number {
  const p = path(name);
  if (p === null) return TOO_LONG;
  const dev = major === 0 && minor === 0 ? 0 : makedev(major, minor);
  return result(mknodatCall(dirfd, p, mode, dev));
}

/** symlinkat(2): `name` becomes a symlink to `target`, any bytes. Returns 0 or -errno. */
export function symlinkat(target: string, dirfd: number, name: string): number {
  const t = path2(target);
  const p = path(name);
  return p === null || t === null ? TOO_LONG : result(symlinkatCall(t, dirfd, p));
}

/** linkat(2): `flags` may be AT_SYMLINK_FOLLOW, which reaches an O_PATH descriptor by its /proc name. */
export function linkat(fromFd: number, from: string, toFd: number, to: string, flags = 0): number {
  const p = path(from);
  const q = path2(to);
  return p === null || q === null ? TOO_LONG : result(linkatCall(fromFd, p, toFd, q, flags));
}

/** unlinkat(2): `flags` 0, or AT_REMOVEDIR for a directory. */
export function unlinkat(dirfd: number, name: string, flags = 0): number {
  const p = path(name);
  return p === null ? TOO_LONG : result(unlinkatCall(dirfd, p, flags));
}

/** renameat2(2): `flags` are RENAME_*. */
export function renameat2(fromFd: number, from: string, toFd: number, to: string, flags = 0): number {
  const p = path(from);
  const q = path2(to);
  return p === null || q === null ? TOO_LONG : result(renameat2Call(fromFd, p, toFd, q, flags));
}

/** Target of a symlink, stored in `into`; `name` "" reads an O_PATH descriptor. Returns its length or -errno. */
export function readlinkat(dirfd: number, name: string, into: Uint8Array): number {
  const p = path(name);
  return p === null ? TOO_LONG : result(readlinkatCall(dirfd, p, into, into.length));
}

/** Raw directory records into `into`. Returns bytes filled (0 at the end) or -errno. */
export function getdents64(fd: number, into: Uint8Array): number {
  return result(getdents64Call(fd, into, into.length));
}

/** One name of a directory, as returned by getdents64(2). */
export interface Dirent {
  readonly name: string;
  /** DT_* of the entry. */
  readonly type: number;
  /** Inode number halves, signed 32-bit. */
  readonly inoLo: number;
  readonly inoHi: number;
}

const listing = Buffer.alloc(256 * 1024);
/** The entry passed by {@link listDirectory}: a single object, since a directory may have many names. */
const shown = { name: '', type: 0, inoLo: 0, inoHi: 0 };
const DOT = 46;
/** struct linux_dirent64: the name's offset. With its NUL, a record is padded to 8 bytes with arbitrary bytes. */
const NAME_AT = 19;
const PADDING = 8;

/**
 * Calls `each` for every name of the open directory `fd` except `.` and `..`, from its current position on. Returns 0 or -errno.
 * `each` must not list another directory (there is one buffer), nor keep the object passed to it. Only an empty result is the end:
 * on a signal, the kernel returns what it has so far.
 */
export function listDirectory(fd: number, each: (found: Dirent) => void): number {
  for (;;) {
    const filled = getdents64(fd, listing);
    if (filled <= 0) return filled;
    for (let at = 0; at < filled; ) {
      const start = at + NAME_AT;
      const next = at + listing.readUInt16LE(at + 16);
      let end = Math.max(start, next - PADDING);
      while (listing[end] !== 0) end++;
      if (!isDots(start, end - start)) {
        shown.name = listing.latin1Slice(start, end);
        shown.type = listing[at + 18]!;
        shown.inoLo = listing.readInt32LE(at);
        shown.inoHi = listing.readInt32LE(at + 4);
        each(shown);
      }
      at = next;
    }
  }
}

function isDots(start: number, size: number): boolean {
  return size <= 2 && listing[start] === DOT && (size === 1 || listing[start + 1] === DOT);
}

/** All names of an open directory at once, or -errno. */
export function readDirectory(fd: number): Dirent[] | number {
  const entries: Dirent[] = [];
  const rc = listDirectory(fd, (found) => entries.push({ ...found }));
  return rc < 0 ? rc : entries;
}
