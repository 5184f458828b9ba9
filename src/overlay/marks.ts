/** The overlay's own xattrs on real objects: opaque, redirect, origin, impure, metacopy and their relatives. */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import type { Inode, RealDir } from './inode.js';
import { locate } from './locate.js';
import { FOREIGN_OPAQUE, setMark } from './own-xattrs.js';
import type { Overlay } from './state.js';
import { WH_OPAQUE } from './whiteout.js';

/** Longest origin blob: its length field is one byte. */
const ORIGIN_MAX = 255;
/** Shortest value of a metacopy mark that has one: version, length, flags, digest algorithm. */
const METACOPY_MIN = 4;

/** The decoded marks of one real directory or metacopy. */
export interface Marks {
  /** Nothing below is merged. */
  readonly opaque: boolean;
  /** Contains xattr whiteouts (`opaque=x`). */
  readonly xwhiteouts: boolean;
  /** Where the search continues below: an entry name, or an absolute path from the overlay root. */
  readonly redirect: string | null;
  readonly metacopy: boolean;
  /** The metacopy mark has a value that is too short for its header. */
  readonly badMetacopy: boolean;
  /** Holds entries with an origin. */
  readonly impure: boolean;
  /** Records where it was copied up from. */
  readonly origin: boolean;
}

const NO_MARKS: Marks = {
  opaque: false,
  xwhiteouts: false,
  redirect: null,
  metacopy: false,
  badMetacopy: false,
  impure: false,
  origin: false,
};

/** Errors of listxattr(2) that mean that an object, or its filesystem, has no marks. */
const WITHOUT_MARKS = new Set([sys.EOPNOTSUPP, sys.ENODATA, sys.ENOENT, sys.EACCES, sys.EPERM]);

/**
 * Names of an object's xattrs, including its marks. The kernel lists at most 64 KiB of names (E2BIG). A caller who adds more must
 * not make the marks disappear, so in that case they are read one by one. Throws FsError.
 */
function markNames(ov: Overlay, dirfd: number, name: string): readonly string[] {
  const names = sys.xattrNames(dirfd, name);
  if (typeof names !== 'number') return names;
  if (WITHOUT_MARKS.has(-names)) return [];
  if (names !== -sys.E2BIG) return fail(-names, 'listxattr');
  const { opaque, redirect, metacopy, impure, origin } = ov.own;
  const all = [opaque, FOREIGN_OPAQUE, redirect, metacopy, impure, origin];
  return all.filter((mark) => sys.getxattr(dirfd, name, mark, ov.scratch, 0) >= 0);
}

/** A value up to its first NUL, as in C. Taken in full as a name, system calls would see another one: `..` for `..\0`. */
function untilNul(value: string): string {
  const end = value.indexOf('\0');
  return end < 0 ? value : value.slice(0, end);
}

/** Reads the marks of `name` in the directory `dirfd`; one call when the object has no xattrs, as is usual. Throws FsError. */
export function readMarks(ov: Overlay, dirfd: number, name: string): Marks {
  const { scratch, own } = ov;
  const names = markNames(ov, dirfd, name);
  if (names.length === 0) return NO_MARKS;
  let opaque = false;
  let xwhiteouts = false;
  let redirect: string | null = null;
  let metacopy = false;
  let badMetacopy = false;
  let impure = false;
  let origin = false;
  for (const xattr of names) {
    if (xattr === own.opaque || xattr === FOREIGN_OPAQUE) {
      const value = readText(ov, dirfd, name, xattr);
      if (value === 'y') opaque = true;
      if (value === 'x') xwhiteouts = true;
    } else if (xattr === own.redirect) {
      redirect = untilNul(readText(ov, dirfd, name, xattr));
    } else if (xattr === own.metacopy) {
      metacopy = true;
      const size = sys.getxattr(dirfd, name, xattr, scratch, 0);
      badMetacopy = size > 0 && size < METACOPY_MIN;
    } else if (xattr === own.impure) {
      impure = true;
    } else if (xattr === own.origin) {
      origin = true;
    }
  }
  return { opaque, xwhiteouts, redirect, metacopy, badMetacopy, impure, origin };
}

/** The value of a mark that was listed. A failure to read it is no absence: what an opaque directory hides would show. */
function readText(ov: Overlay, dirfd: number, name: string, xattr: string): string {
  const length = sys.getxattr(dirfd, name, xattr, ov.scratch, ov.scratch.length);
  if (length >= 0) return ov.scratch.latin1Slice(0, length);
  return WITHOUT_MARKS.has(-length) ? '' : fail(-length, `read ${xattr}`);
}

/** The origin blob of `name` in `dirfd`; null when there is none, or one longer than any valid one. */
export function readOrigin(ov: Overlay, dirfd: number, name: string): Buffer | null {
  const length = sys.getxattr(dirfd, name, ov.own.origin, ov.scratch, ORIGIN_MAX);
  if (length >= 0) return Buffer.from(ov.scratch.subarray(0, length));
  return length === -sys.ERANGE || WITHOUT_MARKS.has(-length) ? null : fail(-length, 'read origin');
}

/**
 * Marks a directory opaque; with `whiteout=aufs`, by a file in it. EIO when the filesystem can't store the mark, like
 * ovl_set_opaque_xerr() for mkdir.
 */
export function markOpaque(ov: Overlay, dirfd: number, name: string): void {
  const rc =
    ov.options.whiteout === 'aufs'
      ? sys.mknodat(dirfd, name === '' ? WH_OPAQUE : `${name}/${WH_OPAQUE}`, sys.S_IFREG)
      : setMark(dirfd, name, ov.own.opaque);
  if (rc < 0 && rc !== -sys.EEXIST) fail(sys.EIO, 'set opaque');
}

/** Whether the upper part of a directory is marked as holding entries with an origin. */
export function isImpure(ov: Overlay, parent: Inode): boolean {
  const dir = parent.dir!;
  if (dir.impure === 'unknown') {
    const upper = dir.upper as RealDir;
    const rc = sys.getxattr(ov.dirs.fd(upper), '', ov.own.impure, ov.scratch, 0);
    if (rc < 0 && !WITHOUT_MARKS.has(-rc)) fail(-rc, 'read impure');
    dir.impure = rc > 0 ? 'yes' : 'no';
  }
  return dir.impure === 'yes';
}

/** Errors of setxattr(2) that mean that an object can't hold a mark (ovl_check_setxattr()). */
export const HOLDS_NO_MARK = new Set([sys.EOPNOTSUPP, sys.EPERM]);

/**
 * Marks the upper part of a directory impure (ovl_set_impure()), before an entry with an origin gets its name there: without the
 * mark, nothing checks whether the entry is a metacopy. Throws ENOSPC or EDQUOT when there is no space for the mark: then the
 * entry must not get its name.
 */
export function markImpure(ov: Overlay, parent: Inode): void {
  const rc = tryMarkImpure(ov, parent);
  if (HOLDS_NO_MARK.has(-rc)) ov.bestEffort('mark impure', rc);
  else must(rc, 'mark impure');
}

/** The same for an existing entry. Returns 0 or -errno. */
export function tryMarkImpure(ov: Overlay, parent: Inode): number {
  const dir = parent.dir!;
  if (isImpure(ov, parent)) return 0;
  const rc = setMark(ov.dirs.fd(dir.upper as RealDir), '', ov.own.impure);
  if (rc >= 0) dir.impure = 'yes';
  return rc;
}

/** Marks a new file in work as a metacopy, with an empty value: its data is below, under the same name unless it is renamed. */
export function markMetacopy(ov: Overlay, fd: number): void {
  must(sys.setxattr(fd, '', ov.own.metacopy, ov.scratch, 0), 'set metacopy');
}

/** Removes the mark of a metacopy that has its data now; its redirect is meaningless then. Returns 0 or -errno. */
export function unmarkMetacopy(ov: Overlay, fd: number): number {
  const rc = sys.removexattr(fd, '', ov.own.metacopy);
  return rc === -sys.ENODATA ? 0 : rc;
}

/** Whether the upper object of an inode records an origin. */
export function hasOrigin(ov: Overlay, inode: Inode): boolean {
  locate(ov, inode);
  const rc = sys.getxattr(ov.atFd, ov.atName, ov.own.origin, ov.scratch, 0);
  return rc >= 0 || (WITHOUT_MARKS.has(-rc) ? false : fail(-rc, 'read origin'));
}
