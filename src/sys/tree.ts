/** Clones of mounts that nobody else sees, and what a process may do. */

import { AT_EMPTY_PATH } from './consts.js';
import { native, nativeSyscall, path, result, TOO_LONG } from './ffi.js';
import { ioctl } from './file.js';

const openTreeCall = nativeSyscall(['int', 'void *', 'uint']);
const mountSetattrCall = nativeSyscall(['int', 'void *', 'uint', 'void *', 'uint64']);
const faccessatCall = native('int', 'faccessat', ['int', 'void *', 'int', 'int']);
const capgetCall = native('int', 'capget', ['void *', 'void *']);

const SYS_OPEN_TREE = 428;
const SYS_MOUNT_SETATTR = 442;

export const OPEN_TREE_CLONE = 1;
export const OPEN_TREE_CLOEXEC = 0o2000000;

export const MOUNT_ATTR_RDONLY = 0x1;
export const MOUNT_ATTR_NOATIME = 0x10;
/** Mask of the access time settings, one of which is chosen. */
export const MOUNT_ATTR__ATIME = 0x70;
export const MS_PRIVATE = 1 << 18;

/** open_tree(2): an O_PATH descriptor, with OPEN_TREE_CLONE of a new detached mount. Returns it or -errno. */
export function openTree(dirfd: number, name: string, flags: number): number {
  const p = path(name);
  return p === null ? TOO_LONG : result(openTreeCall(SYS_OPEN_TREE, dirfd, p, flags));
}

const mountAttr = Buffer.alloc(32);

/** What {@link mountSetattr} changes: MOUNT_ATTR_* to set and to clear, and MS_PRIVATE and friends. */
export interface MountAttributes {
  readonly set: number;
  readonly clear: number;
  readonly propagation: number;
}

/** mount_setattr(2) on the mount of an O_PATH descriptor. Returns 0 or -errno (ENOSYS before Linux 5.12). */
export function mountSetattr(fd: number, attributes: MountAttributes): number {
  mountAttr.writeBigUInt64LE(BigInt(attributes.set), 0);
  mountAttr.writeBigUInt64LE(BigInt(attributes.clear), 8);
  mountAttr.writeBigUInt64LE(BigInt(attributes.propagation), 16);
  mountAttr.writeBigUInt64LE(0n, 24);
  return result(mountSetattrCall(SYS_MOUNT_SETATTR, fd, path(''), AT_EMPTY_PATH, mountAttr, 32));
}

const FS_IOC_GETFSUUID = 0x80111500;
const EXT4_IOC_GETFSUUID = 0x8008662c;
const uuidRaw = Buffer.alloc(32);

/** Uuid of the filesystem of `fd` (not O_PATH) into `into` (16 bytes). Returns 0, or -errno when it tells none. */
export function fsUuid(fd: number, into: Uint8Array): number {
  // struct fsuuid2: one byte of length, then the uuid. Linux 6.9.
  uuidRaw.fill(0);
  let rc = ioctl(fd, FS_IOC_GETFSUUID, uuidRaw);
  let at = 1;
  if (rc < 0) {
    // struct fsuuid of ext4: length, flags, then the uuid. Linux 6.0.
    uuidRaw.fill(0);
    uuidRaw.writeUInt32LE(16, 0);
    rc = ioctl(fd, EXT4_IOC_GETFSUUID, uuidRaw);
    at = 8;
  }
  if (rc < 0) return rc;
  into.set(uuidRaw.subarray(at, at + 16));
  return 0;
}

export const CAP_CHOWN = 0;
export const CAP_DAC_OVERRIDE = 1;
export const CAP_DAC_READ_SEARCH = 2;
export const CAP_FOWNER = 3;
export const CAP_SETGID = 6;
export const CAP_SETUID = 7;
export const CAP_SYS_ADMIN = 21;

export const X_OK = 1;
export const W_OK = 2;
const AT_EACCESS = 0x200;

/** Whether this process (by its effective ids) may access `name` so. Returns 0 or -errno. Symlinks are followed. */
export function faccessat(dirfd: number, name: string, mode: number): number {
  const p = path(name);
  return p === null ? TOO_LONG : result(faccessatCall(dirfd, p, mode, AT_EACCESS));
}

const LINUX_CAPABILITY_VERSION_3 = 0x20080522;
const capHeader = Buffer.alloc(8);
const capData = Buffer.alloc(24);

/** Effective capabilities 0..31 of this thread in its user namespace, as a mask; 0 when they can't be read. */
export function effectiveCapabilities(): number {
  capHeader.writeUInt32LE(LINUX_CAPABILITY_VERSION_3, 0);
  capHeader.writeUInt32LE(0, 4);
  if (capgetCall(capHeader, capData) < 0) return 0;
  return capData.readUInt32LE(0);
}
