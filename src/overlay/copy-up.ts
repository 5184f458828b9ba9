/**
 * Copy-up: bringing an object to upper before its first change, like the kernel's fs/overlayfs/copy_up.c. Everything is built
 * in work and installed by one link or rename; a crash before that leaves only garbage in work.
 */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import { copyAttributes } from './copy-attributes.js';
import { dirOf, type Inode, type LowerData, RealDir, type RealFile } from './inode.js';
import { copiedFlags, giveFlags } from './inode-flags.js';
import { install } from './install.js';
import { linkUp, linkUpFirst } from './link-index.js';
import { locate, locateDir, openData, openTopmost, type RealObject, statAt, statInode } from './locate.js';
import { markMetacopy, unmarkMetacopy } from './marks.js';
import {
  abandon,
  dataWritten,
  type NewFile,
  nameFile,
  newFileWithData,
  startCopy,
  takePending,
} from './new-file.js';
import { writeOrigin } from './origin-ino.js';
import type { Overlay } from './state.js';
import { discard, tempName } from './temp.js';

/** Which part of a file's data must be on upper after its copy-up. */
export type CopyUpData = 'all' | 'none' | 'metacopy';

/**
 * Makes sure that the object is on upper. `data`: how much of a regular file's data is needed there. Throws FsError, or
 * Deferred when copying takes long.
 *
 * | object | step |
 * |---|---|
 * | directory | its upper part, after those of its ancestors |
 * | on a lower layer | attributes, and data as wanted |
 * | on upper, in the index | a link on upper for its first name |
 * | on upper, a metacopy | data, unless `metacopy` is all that is wanted |
 */
export function copyUp(ov: Overlay, inode: Inode, data: CopyUpData = 'all'): void {
  ov.writable();
  if (inode.dir !== null) copyUpDir(ov, inode);
  else if (!inode.hasUpper) copyUpFile(ov, inode, data);
  else {
    if (inode.index !== null && inode.parent !== null) linkUp(ov, inode, inode.parent, inode.name);
    if (inode.data !== null && data !== 'metacopy') copyUpMetacopyData(ov, inode, data);
  }
}

/**
 * The upper part of a directory, which is copied up if necessary, after its ancestors, from the top down (ovl_copy_up_flags()).
 * By a loop: there may be more of them than the stack has room for.
 */
export function copyUpDir(ov: Overlay, inode: Inode): RealDir {
  const missing: Inode[] = [];
  let at = inode;
  let upper = dirOf(at).upper;
  while (upper === null) {
    ov.writable();
    if (at.parent === null || dirOf(at).dead) fail(sys.ENOENT, 'copy-up of a removed directory');
    missing.push(at);
    at = at.parent;
    upper = dirOf(at).upper;
  }
  for (let next = missing.pop(); next !== undefined; next = missing.pop()) {
    upper = copyUpOneDir(ov, next, next.parent!, upper);
  }
  return upper;
}

/** Copies the inode flags of the directory `from` to its copy `temp`. */
function copyDirFlags(ov: Overlay, from: RealObject, temp: string): void {
  const how = sys.O_RDONLY | sys.O_DIRECTORY | sys.O_NOFOLLOW | sys.O_CLOEXEC;
  let fd = ov.open(from.fd, from.name === '' ? '.' : from.name, how);
  if (fd < 0) return;
  const flags = copiedFlags(fd);
  sys.close(fd);
  if (flags === 0) return;
  fd = ov.open(ov.work, temp, how);
  if (fd < 0) return;
  giveFlags(ov, fd, flags);
  sys.close(fd);
}

function copyUpOneDir(ov: Overlay, inode: Inode, parent: Inode, upperParent: RealDir): RealDir {
  const dir = dirOf(inode);
  statInode(ov, inode);
  const from: RealFile = { dir: dir.real[0]!, name: '' };
  ov.credentials.self();
  const temp = tempName(ov);
  must(sys.mkdirat(ov.work, temp, 0o700), 'mkdirat');
  try {
    locateDir(ov, from.dir);
    const source = { fd: ov.atFd, name: ov.atName, layer: from.dir.layer };
    const to = { fd: ov.work, name: temp };
    copyAttributes(ov, source, to);
    copyDirFlags(ov, source, temp);
    must(writeOrigin(ov, source, source.layer, to), 'set origin');
    if (ov.options.fsync === 'strict') syncTemp(ov, temp);
    install(ov, parent, (upperFd) => sys.renameat2(ov.work, temp, upperFd, inode.name, 0));
  } catch (error) {
    discard(ov, temp, true);
    throw error;
  }
  const upper = new RealDir(ov.upperLayer!, upperParent, inode.name);
  dir.real.unshift(upper);
  dir.impure = 'no';
  inode.hasUpper = true;
  // A descriptor opened to flush it, or for its flags, is the lower's.
  ov.files.drop(inode);
  ov.services.copiedUp?.(0);
  if (dir.listing !== null) dir.listing.sources[0] = upper;
  dirOf(parent).listing?.copiedUp(inode.name);
  // A merge dir's nlink is 1 (fillAttr()): what the kernel has cached is out of date.
  ov.services.notify.attributes(inode.id);
  return upper;
}

/** Completes a pending copy-up of `inode`: the first step of everything that changes the inode or its names. */
export function settle(ov: Overlay, inode: Inode): void {
  if (inode.pending !== null) copyUp(ov, inode);
}

/** With `fsync=strict`, directories and metacopies are also flushed before they are installed, however long that takes. */
function syncTemp(ov: Overlay, temp: string): void {
  const fd = must(ov.open(ov.work, temp, sys.O_RDONLY | sys.O_DIRECTORY | sys.O_CLOEXEC), 'openat');
  const rc = sys.fsync(fd);
  sys.close(fd);
  must(rc, 'fsync');
}

function copyUpFile(ov: Overlay, inode: Inode, data: CopyUpData): void {
  if (inode.pending !== null) {
    finishFile(ov, inode, takePending(ov, inode), false);
    return;
  }
  if (inode.parent !== null) copyUpDir(ov, inode.parent);
  statInode(ov, inode);
  ov.credentials.self();
  if (inode.type !== sys.S_IFREG) {
    copyUpSpecial(ov, inode);
    return;
  }
  const metacopy = data === 'metacopy' && ov.options.metacopy && inode.parent !== null;
  const size = metacopy || data === 'none' ? 0 : ov.stat.size;
  finishFile(ov, inode, newFileWithData(ov, inode, size), metacopy);
}

/** Gives a finished copy its attributes, then its name: it becomes the upper object of `inode`. */
function finishFile(ov: Overlay, inode: Inode, copy: NewFile, metacopy: boolean): void {
  ov.credentials.self();
  let keepsOrigin: boolean;
  let data: LowerData | null;
  try {
    statInode(ov, inode);
    data = metacopy ? lowerData(inode, ov.stat.nlink > 1) : null;
    keepsOrigin = ov.stat.nlink === 1 || inode.index !== null;
    const from = { fd: ov.atFd, name: ov.atName, layer: inode.lowerDir!.layer };
    const to = { fd: copy.fd, name: '' };
    if (metacopy) {
      must(sys.ftruncate(copy.fd, ov.stat.size), 'ftruncate');
      markMetacopy(ov, copy.fd);
    }
    copyAttributes(ov, from, to);
    if (inode.data === null) giveFlags(ov, copy.fd, copiedFlags(copy.source));
    if (inode.parent !== null) {
      if (keepsOrigin) must(writeOrigin(ov, from, from.layer, to), 'set origin');
      if (!metacopy) must(dataWritten(ov, copy), 'write copied-up data');
      else if (ov.options.fsync === 'strict') must(sys.fsync(copy.fd), 'fsync');
      installFile(ov, inode, (dirfd, name) => nameFile(ov, copy, dirfd, name));
    }
  } catch (error) {
    abandon(ov, copy);
    throw error;
  }
  sys.close(copy.source);
  ov.services.copiedUp?.(copy.size);
  if (!keepsOrigin) takeUpperIno(ov, inode, copy.fd);
  if (inode.parent === null) {
    if (copy.temp !== null) discard(ov, copy.temp, false);
    inode.orphan = copy.fd;
  } else if (metacopy) {
    // Its data is a hole, so there is nothing to cache.
    sys.close(copy.fd);
  } else {
    ov.files.set(inode, copy.fd, true);
  }
  becomeUpper(ov, inode, data);
}

/** Where the data of a lower file remains when only its metadata is copied up. */
function lowerData(inode: Inode, hardLinked: boolean): LowerData {
  const { dir, name } = inode.data ?? { dir: inode.lowerDir!, name: inode.lowerName };
  return { dir, name, redirect: null, hardLinked };
}

/** A symlink, device, fifo or socket. */
function copyUpSpecial(ov: Overlay, inode: Inode): void {
  const { atFd, atName } = ov;
  const temp = tempName(ov);
  if (inode.type === sys.S_IFLNK) {
    const length = must(sys.readlinkat(atFd, atName, ov.scratch), 'readlinkat');
    must(sys.symlinkat(ov.scratch.latin1Slice(0, length), ov.work, temp), 'symlinkat');
  } else {
    const { mode, rdevMajor, rdevMinor } = ov.stat;
    must(sys.mknodat(ov.work, temp, mode & ~0o7777, rdevMajor, rdevMinor), 'mknodat');
  }
  const keepsOrigin = ov.stat.nlink === 1 || inode.index !== null;
  try {
    const to = { fd: ov.work, name: temp };
    const from = { fd: atFd, name: atName, layer: inode.lowerDir!.layer };
    copyAttributes(ov, from, to);
    if (inode.parent === null) {
      inode.orphan = must(ov.open(ov.work, temp, sys.O_PATH | sys.O_NOFOLLOW | sys.O_CLOEXEC), 'openat');
      discard(ov, temp, false);
    } else {
      if (keepsOrigin) must(writeOrigin(ov, from, from.layer, to), 'set origin');
      installFile(ov, inode, (fd, name) => sys.renameat2(ov.work, temp, fd, name, sys.RENAME_NOREPLACE));
    }
  } catch (error) {
    discard(ov, temp, false);
    throw error;
  }
  becomeUpper(ov, inode, null);
  ov.services.copiedUp?.(0);
  if (keepsOrigin) return;
  locate(ov, inode);
  takeUpperIno(ov, inode, ov.atFd, ov.atName);
}

/** Installs a non-directory: under its name, or with an index, in the index directory first. */
function installFile(ov: Overlay, inode: Inode, commit: (dirfd: number, name: string) => number): void {
  const { index, parent, name } = inode;
  if (index === null) install(ov, parent!, (upperFd) => commit(upperFd, name));
  else must(commit(ov.indexDir, index.name), 'install index');
}

/**
 * After the commit point, where nothing may fail any more; except that a file in the index gets its name on upper only now, and
 * stays copied up even if that fails.
 */
function becomeUpper(ov: Overlay, inode: Inode, data: LowerData | null): void {
  inode.hasUpper = true;
  inode.data = data;
  inode.lowerDir = null;
  inode.lowerName = '';
  if (inode.parent === null) return;
  if (inode.index !== null) linkUpFirst(ov, inode);
  else dirOf(inode.parent).listing?.setUpper(inode.name, inode.type >> 12);
}

/** The copy of one of several lower links is a separate file with its own number (ovl_getattr()). */
function takeUpperIno(ov: Overlay, inode: Inode, fd: number, name = ''): void {
  if (statAt(fd, name, ov.probe) < 0) return;
  ov.inoMap.map(ov.upperLayer!, ov.probe.inoLo, ov.probe.inoHi, inode);
  ov.services.notify.attributes(inode.id);
  if (inode.parent !== null) ov.services.notify.listing(inode.parent.id);
}

/**
 * Copies the data into a metacopy on upper, in place; removing the mark is the commit point (ovl_copy_up_meta_inode_data()).
 */
function copyUpMetacopyData(ov: Overlay, inode: Inode, data: CopyUpData): void {
  ov.credentials.self();
  const copy = inode.pending === null ? startDataCopy(ov, inode, data) : takePending(ov, inode);
  sys.close(copy.source);
  let rc = 0;
  if (copy.capability !== undefined) {
    rc = sys.setxattr(copy.fd, '', sys.XATTR_NAME_CAPS, copy.capability, copy.capability.length);
  }
  if (rc >= 0) rc = dataWritten(ov, copy);
  // Without the mark, what it does not get of its data would be zeros.
  if (rc >= 0 && data === 'none') rc = sys.ftruncate(copy.fd, 0);
  // commit point
  if (rc >= 0) rc = unmarkMetacopy(ov, copy.fd);
  if (rc < 0) {
    sys.close(copy.fd);
    fail(-rc, 'metacopy');
  }
  inode.data = null;
  ov.services.copiedUp?.(copy.size);
  ov.files.set(inode, copy.fd, true);
}

function startDataCopy(ov: Overlay, inode: Inode, data: CopyUpData): NewFile {
  statInode(ov, inode);
  const length = sys.getxattr(ov.atFd, ov.atName, sys.XATTR_NAME_CAPS, ov.scratch, ov.scratch.length);
  const fd = openTopmost(ov, inode, sys.O_RDWR);
  let source: number;
  try {
    source = openData(ov, inode);
  } catch (error) {
    sys.close(fd);
    throw error;
  }
  const copy: NewFile = { fd, temp: null, source, size: data === 'all' ? ov.stat.size : 0 };
  if (length > 0) copy.capability = Buffer.from(ov.scratch.subarray(0, length));
  if (copy.size > 0) startCopy(ov, inode, copy);
  return copy;
}
