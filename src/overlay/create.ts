/** Creating objects: files, directories, devices, symlinks; like the kernel's fs/overlayfs/dir.c. */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import type { Caller, Name } from '../vfs/types.js';
import { inheritAcl } from './acl.js';
import { copyUpDir } from './copy-up.js';
import { DirState, dirOf, type Inode, isMerge, RealDir } from './inode.js';
import { IMMUTABLE, refuse } from './inode-flags.js';
import { isVisible, isWhitedOut } from './listing.js';
import { find, newInode } from './lookup.js';
import { markOpaque } from './marks.js';
import { listingOf } from './merge.js';
import { setMark } from './own-xattrs.js';
import type { Overlay } from './state.js';
import { discard, tempName } from './temp.js';
import { clearBeside, findWhiteout, isReservedName } from './whiteout.js';

/**
 * What occupies a name in the merged view, as far as creating an object there is concerned. 'unknown': a directory that is not
 * merged is not searched, since an upper one answers EEXIST by itself, even for a whiteout.
 */
export type Occupant = 'nothing' | 'unknown' | 'whiteout' | 'object';

function occupant(ov: Overlay, parent: Inode, name: Name): Occupant {
  const dir = dirOf(parent);
  if (dir.children.has(name)) return 'object';
  if (dir.listing === null && !isMerge(dir)) return 'unknown';
  const info = listingOf(ov, parent).info(name);
  if (isVisible(info)) return 'object';
  return isWhitedOut(info) ? 'whiteout' : 'nothing';
}

/** First steps of every creation: checks that it is permitted and the name free, and copies up the directory. EEXIST. */
export function prepareName(ov: Overlay, parent: Inode, name: Name): Exclude<Occupant, 'object'> {
  ov.writable();
  if (name.length > sys.NAME_MAX) fail(sys.ENAMETOOLONG, 'create');
  if (dirOf(parent).dead) fail(sys.ENOENT, 'create in a removed directory');
  if (isReservedName(ov, name)) fail(sys.EINVAL, 'name of a whiteout');
  const there = occupant(ov, parent, name);
  if (there === 'object' && find(ov, parent, name) !== null) fail(sys.EEXIST, 'create');
  refuse(ov, parent, IMMUTABLE);
  const { upper } = dirOf(parent);
  copyUpDir(ov, parent);
  if (there !== 'object') return there;
  // It is gone, or an xattr whiteout that its directory does not announce, which would be in the way on upper.
  return upper !== null && findWhiteout(ov, upper, name) !== 'none' ? 'whiteout' : 'nothing';
}

/** How to create an object: `make` calls mkdirat, mknodat, symlinkat or openat, and returns the result or -errno. */
export interface Creation {
  readonly type: number;
  readonly mode: number;
  make(dirfd: number, name: string): number;
}

/** The result of a creation: the inode, and what `make` returned (a descriptor from openat). */
export interface Created {
  readonly inode: Inode;
  readonly rc: number;
}

/** The single template for all creations. Afterwards `ov.stat` holds the new object's attributes. Throws FsError. */
export function createAt(ov: Overlay, parent: Inode, name: Name, caller: Caller, what: Creation): Created {
  let there = prepareName(ov, parent, name);
  const dir = dirOf(parent);
  const upper = dir.upper!;
  const upperFd = ov.dirs.fd(upper);
  let rc = -sys.EEXIST;
  try {
    if (there !== 'whiteout') {
      ov.credentials.as(caller);
      // commit point
      rc = what.make(upperFd, name);
      if (rc === -sys.EEXIST && findWhiteout(ov, upper, name) === 'at name') there = 'whiteout';
      else must(rc, 'create');
      if (there !== 'whiteout') recordOwner(ov, upper, name, caller, what);
    }
    if (there === 'whiteout') rc = createOverWhiteout(ov, upper, name, caller, what);
    else if (what.type === sys.S_IFDIR && isMerge(dir) && ov.opaqueNewDirs) {
      // A later rename of a lower directory must never merge into it (ovl_create_upper()).
      ov.credentials.self();
      ov.bestEffort('mark a new directory opaque', setMark(upperFd, name, ov.own.opaque));
    }
    dir.listing?.setUpper(name, what.type >> 12);
    return { inode: newUpperInode(ov, parent, name, what.type), rc };
  } catch (error) {
    // openat returned a descriptor.
    if (rc > 0) sys.close(rc);
    throw error;
  }
}

/** Where owners are kept in xattrs, a new object must not exist without its own: it is removed if that can't be recorded. */
function recordOwner(ov: Overlay, upper: RealDir, name: string, caller: Caller, what: Creation): void {
  if (ov.owners === null || ov.owners.written === null) return;
  ov.credentials.self();
  const at = { fd: ov.dirs.fd(upper), name };
  try {
    ov.owners.recordNew(ov, at, upper, caller, what.type | (what.mode & 0o7777));
  } catch (error) {
    sys.unlinkat(at.fd, name, what.type === sys.S_IFDIR ? sys.AT_REMOVEDIR : 0);
    throw error;
  }
}

/** The inode of an object that was just made on upper. */
function newUpperInode(ov: Overlay, parent: Inode, name: string, type: number): Inode {
  const upper = dirOf(parent).upper!;
  must(sys.statx(ov.dirs.fd(upper), name, ov.stat), 'statx');
  const isDir = type === sys.S_IFDIR;
  const dir = isDir ? new DirState([new RealDir(upper.layer, upper, name)]) : null;
  if (dir !== null) dir.impure = 'no';
  const inode = newInode(ov, type, parent, name, dir);
  inode.hasUpper = true;
  inode.lacksCapability = true;
  inode.protection = 0;
  ov.inoMap.map(upper.layer, ov.stat.inoLo, ov.stat.inoHi, inode);
  return inode;
}

/**
 * Builds the object in work, with the group, set-gid bit and ACLs that it would have inherited from its directory, and
 * replaces the whiteout with it in one step (ovl_create_over_whiteout()). A directory is opaque, so that nothing that the
 * whiteout hid reappears.
 */
function createOverWhiteout(
  ov: Overlay,
  upper: RealDir,
  name: string,
  caller: Caller,
  what: Creation,
): number {
  const upperFd = ov.dirs.fd(upper);
  must(sys.fstatx(upperFd, ov.probe), 'statx');
  const setGid = (ov.probe.mode & sys.S_ISGID) !== 0;
  const temp = tempName(ov);
  const isDir = what.type === sys.S_IFDIR;
  const identity = { ...caller, gid: setGid ? ov.probe.gid : caller.gid };
  ov.credentials.as(identity);
  const rc = must(what.make(ov.work, temp), 'create');
  ov.credentials.self();
  let swaps = false;
  try {
    inheritAcl(ov, upperFd, temp, what);
    if (isDir && setGid) {
      must(sys.statx(ov.work, temp, ov.probe), 'statx');
      must(sys.fchmodat(ov.work, temp, (ov.probe.mode & 0o7777) | sys.S_ISGID), 'chmod');
    }
    ov.owners?.recordNew(ov, { fd: ov.work, name: temp }, upper, caller, what.type | (what.mode & 0o7777));
    if (isDir) markOpaque(ov, ov.work, temp);
    swaps = isDir && findWhiteout(ov, upper, name) === 'at name';
    // commit point
    must(sys.renameat2(ov.work, temp, upperFd, name, swaps ? sys.RENAME_EXCHANGE : 0), 'renameat2');
  } catch (error) {
    if (what.type === sys.S_IFREG && rc > 0) sys.close(rc);
    discard(ov, temp, isDir);
    throw error;
  }
  if (swaps) discard(ov, temp, false);
  clearBeside(ov, upper, name);
  return rc;
}

/** Creates an unnamed file (O_TMPFILE), which a hard link may name later. The inode owns the descriptor as its `orphan`. */
export function tmpfile(ov: Overlay, parent: Inode, mode: number, caller: Caller): Inode {
  ov.writable();
  refuse(ov, parent, IMMUTABLE);
  const upper = copyUpDir(ov, parent);
  ov.credentials.as(caller);
  const flags = sys.O_TMPFILE | sys.O_RDWR | sys.O_CLOEXEC;
  const fd = must(ov.open(ov.dirs.fd(upper), '.', flags, mode & 0o7777), 'openat');
  try {
    ov.owners?.recordNew(ov, { fd, name: '' }, upper, caller, sys.S_IFREG | (mode & 0o7777));
    must(sys.fstatx(fd, ov.stat), 'statx');
  } catch (error) {
    sys.close(fd);
    throw error;
  }
  const inode = newInode(ov, sys.S_IFREG, null, '', null);
  inode.hasUpper = true;
  inode.protection = 0;
  inode.orphan = fd;
  ov.inoMap.map(upper.layer, ov.stat.inoLo, ov.stat.inoHi, inode);
  return inode;
}
