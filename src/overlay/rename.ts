/** rename, like the kernel's ovl_rename(): one renameat2 on upper, leaving a whiteout where the old name is visible below. */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import type { Name } from '../vfs/types.js';
import { copyUp, copyUpDir, settle } from './copy-up.js';
import { dirOf, type Inode, isMerge, type RealDir } from './inode.js';
import { IMMUTABLE, refuse, refuseRemoval } from './inode-flags.js';
import { copyUpName, dropLink, startNlink } from './link-index.js';
import { isWhitedOut } from './listing.js';
import { find, findExisting } from './lookup.js';
import { hasOrigin, markImpure, markOpaque } from './marks.js';
import { listingOf } from './merge.js';
import { addName, removeName } from './names.js';
import { checkRedirectable, setRedirect } from './redirect-up.js';
import { buryDirectory, isEmpty, keepingOpen, showsThrough } from './remove.js';
import type { Overlay } from './state.js';
import { discard, tempName } from './temp.js';
import {
  clearBeside,
  findWhiteout,
  isReservedName,
  moveLeavingWhiteout,
  type WhiteoutPlace,
  whiteOutDirectory,
} from './whiteout.js';

/** One side of a rename. */
interface Side {
  readonly parent: Inode;
  readonly name: Name;
  /** What is there; null: nothing that callers see. */
  readonly inode: Inode | null;
}

/**
 * Renames. EINVAL for unsupported flags, EXDEV for a directory with a lower part (unless redirect_dir=on), and the errors of
 * rename(2).
 */
export function rename(ov: Overlay, from: Omit<Side, 'inode'>, to: Omit<Side, 'inode'>, flags: number): void {
  ov.writable();
  if ((flags & ~(sys.RENAME_NOREPLACE | sys.RENAME_EXCHANGE)) !== 0) fail(sys.EINVAL, 'rename flags');
  if (isReservedName(ov, to.name)) fail(sys.EINVAL, 'name of a whiteout');
  if (dirOf(to.parent).dead) fail(sys.ENOENT, 'rename into a removed directory');
  const inode = findExisting(ov, from.parent, from.name);
  const target = find(ov, to.parent, to.name);
  if (inode === target) return;
  refuseRemoval(ov, from.parent, inode);
  if (target === null) refuse(ov, to.parent, IMMUTABLE);
  else if ((flags & sys.RENAME_NOREPLACE) === 0) refuseRemoval(ov, to.parent, target);
  settle(ov, inode);
  if (target !== null) settle(ov, target);
  const source = { ...from, inode };
  if ((flags & sys.RENAME_EXCHANGE) !== 0) {
    if (target === null) fail(sys.ENOENT, 'exchange');
    checkRedirectable(ov, inode);
    checkRedirectable(ov, target);
    exchange(ov, source, { ...to, inode: target });
    return;
  }
  if (target !== null) {
    if ((flags & sys.RENAME_NOREPLACE) !== 0) fail(sys.EEXIST, 'rename');
    checkKinds(inode, target);
  }
  checkRedirectable(ov, inode);
  // For a target that is only on upper, its filesystem checks at the rename itself (ovl_pure_upper()); xfs answers EEXIST.
  if (target !== null && !isPureUpper(target) && isFull(ov, target)) fail(sys.ENOTEMPTY, 'rename');
  move(ov, source, { ...to, inode: target });
}

function isPureUpper(inode: Inode): boolean {
  return inode.hasUpper && !(inode.dir !== null && isMerge(inode.dir));
}

function isFull(ov: Overlay, inode: Inode): boolean {
  return inode.dir !== null && !isEmpty(ov, inode);
}

function checkKinds(inode: Inode, target: Inode): void {
  if (inode.dir === null && target.dir !== null) fail(sys.EISDIR, 'rename');
  if (inode.dir !== null && target.dir === null) fail(sys.ENOTDIR, 'rename');
}

/**
 * Before the commit point: copies up both sides, and sets what a moved object needs first: redirect, opaque, an impure new
 * parent. None of it is visible if the rename then fails.
 */
function prepare(ov: Overlay, side: Side & { inode: Inode }, newParent: Inode): void {
  const { inode, parent } = side;
  copyUpDir(ov, parent);
  copyUpDir(ov, newParent);
  if (inode.index !== null) copyUpName(ov, inode, parent, side.name);
  else copyUp(ov, inode, 'metacopy');
  if (inode.dir !== null) {
    if (isMerge(inode.dir)) setRedirect(ov, inode, side, parent === newParent);
    // Otherwise lower directories of the new name would be merged into it.
    else if (isMerge(dirOf(newParent))) markOpaqueOrRefuse(ov, inode);
  } else if (inode.data !== null) {
    setRedirect(ov, inode, side, parent === newParent);
  }
  if (parent !== newParent && (inode.data?.hardLinked === false || hasOrigin(ov, inode)))
    markImpure(ov, newParent);
}

function markOpaqueOrRefuse(ov: Overlay, inode: Inode): void {
  if (ov.opened.features.xattr || ov.options.whiteout === 'aufs')
    markOpaque(ov, ov.dirs.fd(dirOf(inode).upper!), '');
  else fail(sys.EXDEV, 'rename of a directory without xattrs');
}

/** Moves `from` to a name that is free, whited out, or occupied by an object that is replaced. */
function move(ov: Overlay, from: Side & { inode: Inode }, to: Side): void {
  const { inode } = from;
  prepare(ov, from, to.parent);
  const isDir = inode.dir !== null;
  const full = to.inode !== null && isFull(ov, to.inode);
  // That form leaves its whiteout before the rename, which must not fail then.
  if (full && ov.options.whiteout === 'aufs') fail(sys.ENOTEMPTY, 'rename');
  if (to.inode !== null && to.inode.index !== null) startNlink(ov, to.inode, to.parent, to.name);
  const leavesWhiteout = showsThrough(ov, from.parent, from.name);
  const target = to.inode;
  const onto = target === null ? whiteoutThere(ov, to) : 'none';
  // Only now, since building a listing may close any descriptor.
  const fromFd = ov.dirs.fd(dirOf(from.parent).upper!);
  const toDir = dirOf(to.parent).upper!;
  const toFd = ov.dirs.fd(toDir);
  const replace = (): void => {
    if (target?.hasUpper && target.dir !== null && !full) clearTarget(ov, target, toDir, to.name);
    if (leavesWhiteout) {
      const place = { dir: dirOf(from.parent).upper!, name: from.name, isDirectory: isDir };
      moveLeavingWhiteout(ov, place, { dir: toDir, name: to.name }, onto);
    } else if (onto === 'at name' && isDir) {
      // commit point
      must(sys.renameat2(fromFd, from.name, toFd, to.name, sys.RENAME_EXCHANGE), 'renameat2');
      ov.bestEffort('remove whiteout', sys.unlinkat(fromFd, from.name));
    } else {
      // commit point
      must(sys.renameat2(fromFd, from.name, toFd, to.name), 'renameat2');
    }
  };
  if (target?.hasUpper) keepingOpen(ov, target, toFd, to.name, replace);
  else replace();
  clearBeside(ov, toDir, to.name);
  record(ov, from, to, leavesWhiteout);
}

/** The whiteout at the target name, where callers see nothing. */
function whiteoutThere(ov: Overlay, side: Side): WhiteoutPlace {
  const dir = dirOf(side.parent);
  if (isMerge(dir) && !isWhitedOut(listingOf(ov, side.parent).info(side.name))) return 'none';
  return findWhiteout(ov, dir.upper!, side.name);
}

/**
 * An upper directory that is about to be replaced may still hold whiteouts, for which rename(2) would fail with ENOTEMPTY: an empty
 * opaque directory takes its place (ovl_clear_empty()).
 */
function clearTarget(ov: Overlay, target: Inode, dir: RealDir, name: Name): void {
  const upper = dirOf(target).upper!;
  const fd = ov.open(ov.dirs.fd(upper), '.', sys.O_RDONLY | sys.O_DIRECTORY | sys.O_CLOEXEC);
  must(fd, 'openat');
  const left = sys.readDirectory(fd);
  sys.close(fd);
  if (typeof left !== 'number' && left.length === 0) return;
  if (ov.options.whiteout === 'aufs') {
    // There an opaque directory is not empty; a whiteout serves until the object is at the name.
    whiteOutDirectory(ov, dir, name);
    ov.dirs.drop(upper);
    return;
  }
  ov.credentials.self();
  const temp = tempName(ov);
  must(sys.mkdirat(ov.work, temp, 0o755), 'mkdirat');
  try {
    markOpaque(ov, ov.work, temp);
    must(sys.renameat2(ov.work, temp, ov.dirs.fd(dir), name, sys.RENAME_EXCHANGE), 'renameat2');
  } catch (error) {
    discard(ov, temp, true);
    throw error;
  }
  ov.dirs.drop(upper);
  discard(ov, temp, true);
}

/** After the commit point: updates inodes and listings. */
function record(ov: Overlay, from: Side & { inode: Inode }, to: Side, leavesWhiteout: boolean): void {
  const { inode } = from;
  const target = to.inode;
  if (target !== null) {
    if (target.dir !== null) buryDirectory(ov, target, to.parent, to.name);
    else removeName(target, to.parent, to.name);
    if (target.index !== null) dropLink(ov, target);
  }
  dirOf(from.parent).listing?.remove(from.name, leavesWhiteout);
  removeName(inode, from.parent, from.name);
  place(inode, to);
}

/** Records that the inode now has the name `to`. */
function place(inode: Inode, to: Side): void {
  addName(inode, to.parent, to.name);
  dirOf(to.parent).listing?.setUpper(to.name, inode.type >> 12);
  if (inode.dir === null) return;
  const upper = inode.dir.upper!;
  upper.parent = dirOf(to.parent).upper!;
  upper.name = to.name;
}

function exchange(ov: Overlay, from: Side & { inode: Inode }, to: Side & { inode: Inode }): void {
  prepare(ov, from, to.parent);
  prepare(ov, to, from.parent);
  const fromFd = ov.dirs.fd(dirOf(from.parent).upper!);
  const toFd = ov.dirs.fd(dirOf(to.parent).upper!);
  // commit point
  must(sys.renameat2(fromFd, from.name, toFd, to.name, sys.RENAME_EXCHANGE), 'renameat2');
  removeName(to.inode, to.parent, to.name);
  removeName(from.inode, from.parent, from.name);
  place(from.inode, to);
  place(to.inode, from);
}
