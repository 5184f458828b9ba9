/** Private clones of mounts: open_tree(2) and mount_setattr(2). */

import { AT_EMPTY_PATH } from './consts.js';
import { nativeSyscall, path, result, TOO_LONG } from './ffi.js';

const openTreeCall = nativeSyscall(['int', 'void *', 'uint']);
const mountSetattrCall = nativeSyscall(['int', 'void *', 'uint', 'void *', 'uint64']);

const SYS_OPEN_TREE = 428;
const SYS_MOUNT_SETATTR = 442;

export const OPEN_TREE_CLONE = 1;
export const OPEN_TREE_CLOEXEC = 0o2000000;

export const MOUNT_ATTR_RDONLY = 0x1;
export const MOUNT_ATTR_NODEV = 0x4;
export const MOUNT_ATTR_NOATIME = 0x10;
export const MOUNT_ATTR_STRICTATIME = 0x20;
export const MOUNT_ATTR_NODIRATIME = 0x80;
/** Mask of the access time settings, which exclude each other. */
export const MOUNT_ATTR__ATIME = 0x70;

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
