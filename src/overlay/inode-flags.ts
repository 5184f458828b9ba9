/**
 * Immutable and append-only objects (chattr +i, +a). Linux checks its own inodes' flags before it asks a filesystem, but
 * an inode of FUSE has none: so we check, as the VFS does, in whatever changes something.
 *
 * On a lower layer the flags are those of the object. On upper they are kept in the xattr `overlay.protattr`, letters `a`
 * and `i`, as ovl_set_protattr() does: real ones would bar the overlay itself from linking, marking and copying up. Who sets
 * real ones on upper from outside bars us, too.
 */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import { copyUp } from './copy-up.js';
import { dataFd } from './file.js';
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

const FS_IOC_GETFLAGS = 0x80086601;
const flagsRaw = Buffer.alloc(8);

/**
 * The bits of an object of a lower layer, whose attributes are `stat`. erofs says of all its objects that they are immutable,
 * which the filesystem is, and so does an overlay on it: only files and directories that answer to FS_IOC_GETFLAGS have flags
 * of their own. Nothing else can be asked, and chattr does not give it any.
 */
function lowerBits(ov: Overlay, stat: Pick<sys.Stat, 'attributes' | 'mode'>, at: RealObject): number {
  const bits = fromAttributes(stat.attributes);
  if (bits === 0) return 0;
  const type = stat.mode & sys.S_IFMT;
  if (type !== sys.S_IFREG && type !== sys.S_IFDIR) return 0;
  const fd = openObject(ov, at);
  // What may not be opened is taken at its word.
  if (fd < 0) return bits;
  const rc = sys.ioctl(fd, FS_IOC_GETFLAGS, flagsRaw);
  sys.close(fd);
  return rc < 0 ? 0 : bits;
}

/** Asked for once: nobody but us changes it (or else it is as undefined as all changes of layers). */
function protectionOf(ov: Overlay, inode: Inode): number {
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

/** EPERM for an object that has any of these flags. `ov.stat` may be overwritten. */
export function refuse(ov: Overlay, inode: Inode, flags: number): void {
  if ((protectionOf(ov, inode) & flags) !== 0) fail(sys.EPERM, 'immutable or append-only');
}

/** The same for taking a name from a directory (may_delete()). */
export function refuseRemoval(ov: Overlay, parent: Inode, inode: Inode): void {
  refuse(ov, parent, PROTECTED);
  refuse(ov, inode, PROTECTED);
}

function letters(bits: number): Buffer {
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
  const value = letters(bits);
  const rc = sys.setxattr(to.fd, to.name, ov.own.protattr, value, value.length);
  if (rc === -sys.EPERM || rc === -sys.EOPNOTSUPP) ov.bestEffort('record flags', rc);
  else must(rc, 'record flags');
}

const FS_IOC_SETFLAGS = 0x40086602;
/** FS_SYNC_FL and FS_NOATIME_FL (chattr +S, +A): what ovl_copy_fileattr() copies of the other flags. */
const COPIED_FLAGS = 0x88;

/** Those of the other flags of an open file or directory that its copy is to have; 0 where a filesystem has none. */
export function copiedFlags(from: number): number {
  return sys.ioctl(from, FS_IOC_GETFLAGS, flagsRaw) < 0 ? 0 : flagsRaw.readUInt32LE(0) & COPIED_FLAGS;
}

/** Gives {@link copiedFlags} to an open copy. Upper's filesystem need not have them. */
export function giveFlags(ov: Overlay, to: number, flags: number): void {
  if (flags === 0) return;
  let rc = sys.ioctl(to, FS_IOC_GETFLAGS, flagsRaw);
  if (rc >= 0) {
    flagsRaw.writeUInt32LE(((flagsRaw.readUInt32LE(0) & ~COPIED_FLAGS) | flags) >>> 0, 0);
    rc = sys.ioctl(to, FS_IOC_SETFLAGS, flagsRaw);
  }
  ov.bestEffort('copy flags', rc);
}

/** How the flag ioctls show the two: FS_IOC_GETFLAGS and its setter, FS_IOC_FSGETXATTR and its. `size`: of their argument in bytes. */
const AS_FLAGS = { immutable: 0x10, append: 0x20, size: 4 };
const AS_XFLAGS = { immutable: 0x8, append: 0x10, size: 28 };
const GETTERS = new Map([
  [FS_IOC_GETFLAGS, AS_FLAGS],
  [0x801c581f, AS_XFLAGS],
]);
const SETTERS = new Map([
  [FS_IOC_SETFLAGS, AS_FLAGS],
  [0x401c5820, AS_XFLAGS],
]);

/**
 * The flag ioctls, for which the kernel has checked who asks (vfs_fileattr_set()). ENOTTY where the real file has none, and
 * for all other commands: whoever may open a file would give them with our power.
 */
export function ioctl(ov: Overlay, inode: Inode, command: number, data: Buffer): void {
  const setter = SETTERS.get(command);
  const getter = setter ?? GETTERS.get(command) ?? fail(sys.ENOTTY, 'ioctl');
  // The real ioctl reads and writes so much whatever `data` has.
  if (data.length < getter.size) fail(sys.ENOTTY, 'ioctl');
  if (setter !== undefined) {
    setFlags(ov, inode, command, data, setter);
    return;
  }
  must(sys.ioctl(dataFd(ov, inode, false), command, data), 'ioctl');
  const bits = protectionOf(ov, inode);
  let shown = data.readUInt32LE(0);
  if ((bits & IMMUTABLE) !== 0) shown |= getter.immutable;
  if ((bits & APPEND_ONLY) !== 0) shown |= getter.append;
  data.writeUInt32LE(shown >>> 0, 0);
}

/**
 * On the real file, but for the two that are kept apart on upper (ovl_fileattr_set()). The real ones first, which a filesystem may
 * refuse: else the mark would stay.
 */
function setFlags(ov: Overlay, inode: Inode, command: number, data: Buffer, as: typeof AS_FLAGS): void {
  copyUp(ov, inode, 'all');
  const wanted = data.readUInt32LE(0);
  const rest = Buffer.from(data);
  rest.writeUInt32LE((wanted & ~(as.immutable | as.append)) >>> 0, 0);
  must(sys.ioctl(dataFd(ov, inode, false), command, rest), 'ioctl');
  const bits =
    ((wanted & as.immutable) !== 0 ? IMMUTABLE : 0) | ((wanted & as.append) !== 0 ? APPEND_ONLY : 0);
  const before = protectionOf(ov, inode);
  locate(ov, inode);
  const value = letters(bits);
  if (bits !== 0) must(sys.setxattr(ov.atFd, ov.atName, ov.own.protattr, value, value.length), 'set flags');
  else if (before !== 0) {
    // Without a mark it was a flag of the real file, which is cleared already.
    const rc = sys.removexattr(ov.atFd, ov.atName, ov.own.protattr);
    if (rc !== -sys.ENODATA) must(rc, 'set flags');
  }
  // What is kept open for a file that was append-only may write at its end alone.
  ov.files.drop(inode);
  inode.protection = bits;
  // The kernel takes an ioctl for something that changes no ctime.
  ov.services.notify.attributes(inode.id);
}
