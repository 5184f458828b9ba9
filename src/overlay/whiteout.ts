/** Whiteouts: how layers mark a name as absent, and how plyfs writes them. */
import * as sys from '../sys/index.js';
import { must } from '../vfs/errors.js';
import type { RealDir } from './inode.js';
import { setMark } from './own-xattrs.js';
import type { Overlay } from './state.js';
import { discard, tempName } from './temp.js';

/** Value of `opaque` for a directory that is not opaque but holds xattr whiteouts. */
const CONTAINS = Buffer.from('x');

/** Prefix of whiteout files in AUFS and OCI layers. */
export const WH_PREFIX = '.wh.';
/** AUFS/OCI mark of an opaque directory. */
export const WH_OPAQUE = '.wh..wh..opq';
/** Prefix of other names that AUFS reserves. */
export const WH_RESERVED = '.wh..wh.';

/** Whether `name` is forbidden to callers, because in a layer it would be read as a whiteout of another name. */
export function isReservedName(ov: Overlay, name: string): boolean {
  return ov.options.whPrefix && name.startsWith(WH_PREFIX);
}

/**
 * Whether an entry found by reading `dir` is a whiteout: a character device 0:0, or in a directory marked
 * `opaque=x` an empty regular file with the xattr `overlay.whiteout` (ovl_path_is_whiteout()).
 */
export function isWhiteoutEntry(ov: Overlay, dir: RealDir, name: string, type: number): boolean {
  if (type !== sys.DT_CHR && type !== sys.DT_UNKNOWN && !(dir.xwhiteouts && type === sys.DT_REG))
    return false;
  if (sys.statx(ov.dirs.fd(dir), name, ov.probe) < 0) return false;
  return isWhiteoutStat(ov, dir, name, ov.probe);
}

/**
 * The same for an object whose attributes are known. The mark on its directory does not matter here: lookups trust the xattr
 * (ovl_path_is_whiteout()), the mark is for listings.
 */
export function isWhiteoutStat(ov: Overlay, dir: RealDir, name: string, stat: sys.Stat): boolean {
  if (stat.isWhiteout) return true;
  if (stat.size !== 0 || (stat.mode & sys.S_IFMT) !== sys.S_IFREG) return false;
  return sys.getxattr(ov.dirs.fd(dir), name, ov.own.whiteout, ov.scratch, 0) >= 0;
}

/** Where the whiteout of a name is on upper: at the name, or beside it as a `.wh.` file. */
export type WhiteoutPlace = 'none' | 'at name' | 'beside';

/** Finds the whiteout of `name` in an upper directory. */
export function findWhiteout(ov: Overlay, upper: RealDir, name: string): WhiteoutPlace {
  const fd = ov.dirs.fd(upper);
  const rc = sys.statx(fd, name, ov.probe);
  if (rc >= 0) return isWhiteoutStat(ov, upper, name, ov.probe) ? 'at name' : 'none';
  return ov.whUpper && sys.statx(fd, WH_PREFIX + name, ov.probe) >= 0 ? 'beside' : 'none';
}

/** Called when an object is at `name`: removes the `.wh.` file beside it, which hid the name on lower layers. */
export function clearBeside(ov: Overlay, upper: RealDir, name: string): void {
  if (!ov.whUpper) return;
  const rc = sys.unlinkat(ov.dirs.fd(upper), WH_PREFIX + name);
  if (rc !== -sys.ENOENT && rc !== -sys.ENAMETOOLONG) ov.bestEffort('remove whiteout', rc);
}

/**
 * Makes a whiteout in the work directory and returns its name there. Whiteouts are hard links of one inode, which the first call
 * creates. When that inode can have no further name, because there are too many or no space is left (tmpfs counts names as
 * inodes), it is used itself, like in the kernel's ovl_whiteout(). Where links are refused, every whiteout is a new inode.
 */
function makeWhiteout(ov: Overlay): string {
  const name = tempName(ov);
  const { work, sharedWhiteout } = ov;
  if (sharedWhiteout !== null) {
    const rc = sys.linkat(work, sharedWhiteout, work, name);
    if (rc >= 0) return name;
    ov.sharedWhiteout = null;
    if (rc !== -sys.ENOENT) return sharedWhiteout;
  }
  ov.credentials.self();
  if (ov.options.whiteout === 'chardev') {
    must(sys.mknodat(work, name, sys.S_IFCHR), 'mknodat');
  } else {
    // Setting a user.* xattr requires write permission to the file; a trusted.* one does not depend on the mode.
    must(sys.mknodat(work, name, sys.S_IFREG | (ov.options.userxattr ? 0o600 : 0)), 'mknodat');
    const rc = setMark(work, name, ov.own.whiteout);
    if (rc < 0) discard(ov, name, false);
    must(rc, 'set whiteout');
  }
  const shared = tempName(ov);
  if (sys.linkat(work, name, work, shared) >= 0) ov.sharedWhiteout = shared;
  return name;
}

/** The first step of writing an xattr whiteout: marks the directory as containing xattr whiteouts. */
function announce(ov: Overlay, upper: RealDir): void {
  if (ov.options.whiteout !== 'xattr' || upper.xwhiteouts) return;
  must(sys.setxattr(ov.dirs.fd(upper), '', ov.own.opaque, CONTAINS, 1), 'announce whiteouts');
  upper.xwhiteouts = true;
}

function makeBeside(ov: Overlay, upperFd: number, name: string): void {
  ov.credentials.self();
  const rc = sys.mknodat(upperFd, WH_PREFIX + name, sys.S_IFREG);
  if (rc !== -sys.EEXIST) must(rc, 'mknodat');
}

/** Moves a whiteout from work to a name, or removes it if that fails. Throws FsError. */
function placeWhiteout(ov: Overlay, made: string, upperFd: number, name: string, flags: number): void {
  const rc = sys.renameat2(ov.work, made, upperFd, name, flags);
  if (rc < 0) discard(ov, made, false);
  must(rc, 'renameat2');
}

/**
 * Whites out `name` in an upper directory, where the name is still free: a single call, the commit point.
 */
export function whiteOutFree(ov: Overlay, upper: RealDir, name: string): void {
  const upperFd = ov.dirs.fd(upper);
  if (ov.options.whiteout === 'aufs') {
    // commit point
    makeBeside(ov, upperFd, name);
    return;
  }
  announce(ov, upper);
  if (ov.sharedWhiteout !== null) {
    // commit point
    const rc = sys.linkat(ov.work, ov.sharedWhiteout, upperFd, name);
    if (rc >= 0) return;
    if (rc === -sys.EEXIST) must(rc, 'linkat');
  }
  const made = makeWhiteout(ov);
  // commit point
  placeWhiteout(ov, made, upperFd, name, sys.RENAME_NOREPLACE);
}

/**
 * Whites out `name` where upper has a file: the whiteout replaces it in one step. A `.wh.` file is made first; it hides nothing
 * while the object is there.
 */
export function whiteOutFile(ov: Overlay, upper: RealDir, name: string): void {
  const upperFd = ov.dirs.fd(upper);
  if (ov.options.whiteout === 'aufs') {
    makeBeside(ov, upperFd, name);
    // commit point
    must(sys.unlinkat(upperFd, name), 'unlinkat');
    return;
  }
  announce(ov, upper);
  const made = makeWhiteout(ov);
  // commit point
  placeWhiteout(ov, made, upperFd, name, 0);
}

/** Replaces a directory by a whiteout; the directory, with the whiteouts in it, is then removed from work. */
export function whiteOutDirectory(ov: Overlay, upper: RealDir, name: string): void {
  const upperFd = ov.dirs.fd(upper);
  if (ov.options.whiteout === 'aufs') {
    makeBeside(ov, upperFd, name);
    const temp = tempName(ov);
    // commit point
    must(sys.renameat2(upperFd, name, ov.work, temp), 'renameat2');
    discard(ov, temp, true);
    return;
  }
  announce(ov, upper);
  const made = makeWhiteout(ov);
  // commit point
  const rc = sys.renameat2(ov.work, made, upperFd, name, sys.RENAME_EXCHANGE);
  discard(ov, made, rc >= 0);
  must(rc, 'renameat2');
}

/** A name on upper, for a move. */
export interface UpperPlace {
  readonly dir: RealDir;
  readonly name: string;
}

/** What is moved, and from where. */
export interface Moved extends UpperPlace {
  readonly isDirectory: boolean;
}

/** Moves an object and leaves a whiteout at its old name, in the same step if the filesystem supports that. */
export function moveLeavingWhiteout(ov: Overlay, from: Moved, to: UpperPlace, onto: WhiteoutPlace): void {
  const fromFd = ov.dirs.fd(from.dir);
  const toFd = ov.dirs.fd(to.dir);
  if (ov.options.whiteout === 'aufs') {
    makeBeside(ov, fromFd, from.name);
    const flags = onto === 'at name' ? sys.RENAME_EXCHANGE : 0;
    // commit point
    must(sys.renameat2(fromFd, from.name, toFd, to.name, flags), 'renameat2');
    if (onto === 'at name') ov.bestEffort('remove whiteout', sys.unlinkat(fromFd, from.name));
    return;
  }
  announce(ov, from.dir);
  if (onto === 'at name') {
    // commit point: the whiteout at the new name moves to the old one
    must(sys.renameat2(fromFd, from.name, toFd, to.name, sys.RENAME_EXCHANGE), 'renameat2');
    return;
  }
  if (ov.opened.features.renameWhiteout && ov.options.whiteout === 'chardev') {
    ov.credentials.self();
    // commit point
    must(sys.renameat2(fromFd, from.name, toFd, to.name, sys.RENAME_WHITEOUT), 'renameat2');
    return;
  }
  if (from.isDirectory) moveDirectory(ov, from, to);
  else moveFile(ov, from, to);
}

/**
 * Without RENAME_WHITEOUT a file gets its new name first, and the whiteout then takes the old one: a crash in between leaves
 * it under both.
 */
function moveFile(ov: Overlay, from: Moved, to: UpperPlace): void {
  const fromFd = ov.dirs.fd(from.dir);
  const toFd = ov.dirs.fd(to.dir);
  const made = makeWhiteout(ov);
  const temp = tempName(ov);
  let rc = sys.linkat(fromFd, from.name, ov.work, temp);
  if (rc >= 0) {
    // commit point
    rc = sys.renameat2(ov.work, temp, toFd, to.name);
    if (rc < 0) discard(ov, temp, false);
  }
  if (rc < 0) discard(ov, made, false);
  must(rc, 'move');
  placeWhiteout(ov, made, fromFd, from.name, 0);
}

/**
 * Exchanges a directory with a whiteout that was put at its new name, where there was nothing or an empty directory, which is
 * removed: a crash in between leaves the directory at its old name.
 */
function moveDirectory(ov: Overlay, from: Moved, to: UpperPlace): void {
  const fromFd = ov.dirs.fd(from.dir);
  const toFd = ov.dirs.fd(to.dir);
  announce(ov, to.dir);
  const made = makeWhiteout(ov);
  const replaces = sys.statx(toFd, to.name, ov.probe) >= 0;
  placeWhiteout(ov, made, toFd, to.name, replaces ? sys.RENAME_EXCHANGE : sys.RENAME_NOREPLACE);
  // commit point
  const rc = sys.renameat2(fromFd, from.name, toFd, to.name, sys.RENAME_EXCHANGE);
  if (rc < 0) {
    const undone = replaces
      ? sys.renameat2(ov.work, made, toFd, to.name, sys.RENAME_EXCHANGE)
      : sys.unlinkat(toFd, to.name);
    ov.bestEffort('undo rename', undone);
  }
  if (replaces) discard(ov, made, rc >= 0);
  must(rc, 'renameat2');
}
