/**
 * Immutable and append-only objects (chattr +i, +a). Linux checks the flags of its own inodes before it asks a filesystem, but
 * a FUSE inode has none, so every operation that changes something checks them here, as the VFS would.
 *
 * On a lower layer the flags are those of the object. On upper they are kept in the xattr `overlay.protattr` as the letters `a`
 * and `i`, like ovl_set_protattr() does: real flags would keep the overlay itself from linking, marking and copying up. Real
 * flags that somebody else sets on upper do just that.
 */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import type { Inode } from './inode.js';
import { locate, openObject, type RealObject, statIfThere } from './locate.js';
import type { Overlay } from './state.js';

export const IMMUTABLE = 1;
export const APPEND_ONLY = 2;
export const PROTECTED = IMMUTABLE | APPEND_ONLY;

const STATX_ATTR_IMMUTABLE = 0x10;
const STATX_ATTR_APPEND = 0x20;

/** Bits from `Stat.attributes`. */
function fromAttributes(attributes: number): number {
  const immutable = (attributes & STATX_ATTR_IMMUTABLE) !== 0 ? IMMUTABLE : 0;
  return immutable | ((attributes & STATX_ATTR_APPEND) !== 0 ? APPEND_ONLY : 0);
}

export const FS_IOC_GETFLAGS = 0x80086601;
const flagsRaw = Buffer.alloc(8);

/**
 * The bits of an object of a lower layer whose attributes are `stat`. erofs, and an overlay on it, reports all objects as
 * immutable, because the filesystem is: only files and directories that support FS_IOC_GETFLAGS have flags of their own. Other
 * types can't be asked, and chattr does not set flags on them.
 */
function lowerBits(ov: Overlay, stat: Pick<sys.Stat, 'attributes' | 'mode'>, at: RealObject): number {
  const bits = fromAttributes(stat.attributes);
  if (bits === 0) return 0;
  const type = stat.mode & sys.S_IFMT;
  if (type !== sys.S_IFREG && type !== sys.S_IFDIR) return 0;
  const fd = openObject(ov, at);
  // If it can't be opened, the attribute is believed.
  if (fd < 0) return bits;
  const rc = sys.ioctl(fd, FS_IOC_GETFLAGS, flagsRaw);
  sys.close(fd);
  return rc < 0 ? 0 : bits;
}

/** The flags of an inode, read once: nobody but us changes them (otherwise it is as undefined as any change of a layer). */
export function protectionOf(ov: Overlay, inode: Inode): number {
  if (inode.protection >= 0) return inode.protection;
  let bits = 0;
  if (!inode.hasUpper && (inode.dir === null || inode.dir.upper === null)) {
    if (statIfThere(ov, inode) >= 0) bits = lowerBits(ov, ov.stat, { fd: ov.atFd, name: ov.atName });
  } else if (inode.type === sys.S_IFREG || inode.type === sys.S_IFDIR) {
    locate(ov, inode);
    const size = sys.getxattr(ov.atFd, ov.atName, ov.own.protattr, ov.scratch, 32);
    const letters = size <= 0 ? '' : ov.scratch.latin1Slice(0, size);
    bits = (letters.includes('i') ? IMMUTABLE : 0) | (letters.includes('a') ? APPEND_ONLY : 0);
  }
  inode.protection = bits;
  return bits;
}

/** Throws EPERM for an object that has any of these flags. `ov.stat` may be overwritten. */
export function refuse(ov: Overlay, inode: Inode, flags: number): void {
  if ((protectionOf(ov, inode) & flags) !== 0) fail(sys.EPERM, 'immutable or append-only');
}

/** The same for removing a name from a directory (may_delete()). */
export function refuseRemoval(ov: Overlay, parent: Inode, inode: Inode): void {
  refuse(ov, parent, PROTECTED);
  refuse(ov, inode, PROTECTED);
}

/** The value of `overlay.protattr` for these bits. */
export function protattrOf(bits: number): Buffer {
  return Buffer.from(`${bits & APPEND_ONLY ? 'a' : ''}${bits & IMMUTABLE ? 'i' : ''}`);
}

/** Copy-up: the flags of `from`, whose attributes are `stat`, are recorded on its copy (ovl_copy_fileattr()). */
export function recordProtection(
  ov: Overlay,
  from: RealObject,
  stat: Pick<sys.Stat, 'attributes' | 'mode'>,
  to: RealObject,
): void {
  const bits = lowerBits(ov, stat, from);
  if (bits === 0) return;
  const value = protattrOf(bits);
  const rc = sys.setxattr(to.fd, to.name, ov.own.protattr, value, value.length);
  if (rc === -sys.EPERM || rc === -sys.EOPNOTSUPP) ov.bestEffort('record flags', rc);
  else must(rc, 'record flags');
}

export const FS_IOC_SETFLAGS = 0x40086602;
/** FS_SYNC_FL and FS_NOATIME_FL (chattr +S, +A): what ovl_copy_fileattr() copies of the other flags. */
const COPIED_FLAGS = 0x88;

/** The other flags of an open file or directory that a copy keeps; 0 where the filesystem has none. */
export function copiedFlags(from: number): number {
  return sys.ioctl(from, FS_IOC_GETFLAGS, flagsRaw) < 0 ? 0 : flagsRaw.readUInt32LE(0) & COPIED_FLAGS;
}

/** Sets {@link copiedFlags} on an open copy, if upper's filesystem supports them. */
export function giveFlags(ov: Overlay, to: number, flags: number): void {
  if (flags === 0) return;
  let rc = sys.ioctl(to, FS_IOC_GETFLAGS, flagsRaw);
  if (rc >= 0) {
    flagsRaw.writeUInt32LE(((flagsRaw.readUInt32LE(0) & ~COPIED_FLAGS) | flags) >>> 0, 0);
    rc = sys.ioctl(to, FS_IOC_SETFLAGS, flagsRaw);
  }
  ov.bestEffort('copy flags', rc);
}
