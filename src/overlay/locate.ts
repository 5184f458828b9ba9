/** From an inode to its real object. */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import type { Attr, Entry } from '../vfs/types.js';
import type { Layer } from './config.js';
import { type Inode, isMerge, type LowerData, type RealDir } from './inode.js';
import type { Overlay } from './state.js';

/** A real object: `name` in the directory `fd`, or with "" the object of `fd` itself. `fd` may be O_PATH. */
export interface RealObject {
  readonly fd: number;
  readonly name: string;
}

/** A real object, and the layer that it is on. */
export interface LayerObject extends RealObject {
  readonly layer: Layer;
}

/** "Not there" is exactly this (ovl_lookup_single()); any other failure is one. */
export function isAbsent(rc: number): boolean {
  return rc === -sys.ENOENT || rc === -sys.ENAMETOOLONG;
}

/** Stores in `ov.atFd` and `ov.atName` where the topmost real object of `inode` is. ESTALE when no name is left. */
export function locate(ov: Overlay, inode: Inode): void {
  if (inode.orphan >= 0) {
    ov.atFd = inode.orphan;
    ov.atName = '';
  } else if (inode.dir !== null) {
    locateDir(ov, inode.dir.real[0]!);
  } else if (!inode.hasUpper) {
    ov.atFd = ov.dirs.fd(inode.lowerDir!);
    ov.atName = inode.lowerName;
  } else if (inode.index !== null) {
    ov.atFd = ov.indexDir;
    ov.atName = inode.index.name;
  } else {
    if (inode.parent === null) fail(sys.ESTALE, 'no name left');
    ov.atFd = ov.dirs.fd(inode.parent.dir!.upper!);
    ov.atName = inode.name;
  }
}

/** The same for one real directory, without opening it. */
export function locateDir(ov: Overlay, real: RealDir): void {
  if (real.parent === null) {
    ov.atFd = real.layer.root;
    ov.atName = '';
  } else {
    ov.atFd = ov.dirs.fd(real.parent);
    ov.atName = real.name;
  }
}

/** The layer of the topmost real object of `inode`. */
export function layerOf(ov: Overlay, inode: Inode): Layer {
  if (inode.dir !== null) return inode.dir.real[0]!.layer;
  return inode.hasUpper ? ov.opened.layers[0]! : inode.lowerDir!.layer;
}

/** statx of a located object, "" being the descriptor itself. Returns 0 or -errno. */
export function statAt(fd: number, name: string, out: sys.Stat): number {
  return name === '' ? sys.fstatx(fd, out) : sys.statx(fd, name, out);
}

/** Reads the attributes of an inode's real object into `ov.stat`. Returns 0 or -errno. */
export function statIfThere(ov: Overlay, inode: Inode): number {
  locate(ov, inode);
  return statAt(ov.atFd, ov.atName, ov.stat);
}

/** The same, but throws FsError; ESTALE when the object is gone. */
export function statInode(ov: Overlay, inode: Inode): void {
  const rc = statIfThere(ov, inode);
  // The kernel was told that it exists, but it does not: somebody changed a layer under us.
  if (rc < 0) must(rc === -sys.ENOENT ? -sys.ESTALE : rc, 'statx');
}

/** Blocks (of 512 bytes) that the data of the metacopy in `ov.stat` takes, or would take if it were present. */
function dataBlocks(ov: Overlay, data: LowerData): number {
  if (sys.statx(ov.dirs.fd(data.dir), data.name, ov.probe) >= 0) return ov.probe.blocks;
  const { size, blksize } = ov.stat;
  return (Math.ceil(size / blksize) * blksize) / 512;
}

/** Fills `out` from `ov.stat`, the attributes of `inode`'s real object, like ovl_getattr(). */
export function fillAttr(ov: Overlay, inode: Inode, out: Attr): void {
  const { stat } = ov;
  out.inoLo = inode.inoLo;
  out.inoHi = inode.inoHi;
  out.size = stat.size;
  out.blocks = stat.blocks;
  out.atime = stat.atime;
  out.mtime = stat.mtime;
  out.ctime = stat.ctime;
  out.atimeNsec = stat.atimeNsec;
  out.mtimeNsec = stat.mtimeNsec;
  out.ctimeNsec = stat.ctimeNsec;
  out.btime = stat.btime;
  out.btimeNsec = stat.btimeNsec;
  out.hasBtime = true;
  out.mode = stat.mode;
  out.nlink = stat.nlink;
  out.uid = stat.uid;
  out.gid = stat.gid;
  out.rdevMajor = stat.rdevMajor;
  out.rdevMinor = stat.rdevMinor;
  out.blksize = stat.blksize;
  if (inode.dir === null) {
    if (inode.index !== null) out.nlink = inode.index.nlink;
    // No name is left. The kernel shows the lower's own count here; callers take 0 to mean "unlinked".
    else if (inode.parent === null && !inode.hasUpper) out.nlink = 0;
    if (inode.data !== null) out.blocks = dataBlocks(ov, inode.data);
  } else if (inode.dir.dead) {
    out.nlink = 0;
  } else if (isMerge(inode.dir) || ov.options.staticNlink) {
    // A merge dir's nlink would confuse tools that rely on it (ovl_getattr()): 1 tells them that it means nothing.
    out.nlink = 1;
  } else if (out.nlink === 0) {
    // The empty directory shown for a mount point has no name.
    out.nlink = 1;
  }
  if (ov.owners !== null) ov.owners.show(ov, inode, out);
}

/** Fills an entry for the kernel, one more reference, with an inode whose attributes are in `ov.stat`. */
export function fillEntry(ov: Overlay, inode: Inode, out: Entry): void {
  inode.nlookup++;
  out.node = inode.id;
  out.keepName = inode.index === null || ov.upperLayer === null;
  fillAttr(ov, inode, out.attr);
}

/** Flags for opening an object of a layer. */
const OPEN_FLAGS = sys.O_NOFOLLOW | sys.O_CLOEXEC | sys.O_NONBLOCK;

/** Opens a real object for reading. Returns a descriptor, which the caller owns, or -errno. */
export function openObject(ov: Overlay, at: RealObject): number {
  return openAt(ov, at.fd, at.name, sys.O_RDONLY);
}

function openAt(ov: Overlay, fd: number, name: string, access: number): number {
  const flags = access | OPEN_FLAGS;
  if (name !== '') return ov.open(fd, name, flags);
  return ov.open(sys.AT_FDCWD, `/proc/self/fd/${fd}`, flags & ~sys.O_NOFOLLOW);
}

/**
 * Opens the inode's topmost object, which for a metacopy does not hold the data. The caller owns the descriptor. Throws FsError.
 */
export function openTopmost(ov: Overlay, inode: Inode, access: number): number {
  return must(tryOpenTopmost(ov, inode, access), 'openat');
}

/** The same, but returns the descriptor or -errno of open(2). */
export function tryOpenTopmost(ov: Overlay, inode: Inode, access: number): number {
  locate(ov, inode);
  return openAt(ov, ov.atFd, ov.atName, access);
}

/** Opens the inode's data for reading; for a metacopy it is on a lower layer. The caller owns the descriptor. Throws FsError. */
export function openData(ov: Overlay, inode: Inode): number {
  const { data } = inode;
  if (data === null) return openTopmost(ov, inode, sys.O_RDONLY);
  return must(ov.open(ov.dirs.fd(data.dir), data.name, sys.O_RDONLY | OPEN_FLAGS), 'openat');
}
