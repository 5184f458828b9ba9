/** The flag ioctls (lsattr, chattr), the only ones that reach a layer. */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import { copyUp } from './copy-up.js';
import { dataFd } from './file.js';
import type { Inode } from './inode.js';
import {
  APPEND_ONLY,
  FS_IOC_GETFLAGS,
  FS_IOC_SETFLAGS,
  IMMUTABLE,
  protattrOf,
  protectionOf,
} from './inode-flags.js';
import { locate } from './locate.js';
import type { Overlay } from './state.js';

const FS_IOC_FSGETXATTR = 0x801c581f;
const FS_IOC_FSSETXATTR = 0x401c5820;

/** How FS_IOC_GETFLAGS and FS_IOC_FSGETXATTR, with their setters, encode the two flags. `size`: of the argument, in bytes. */
const AS_FLAGS = { immutable: 0x10, append: 0x20, size: 4 };
const AS_XFLAGS = { immutable: 0x8, append: 0x10, size: 28 };
const GETTERS = new Map([
  [FS_IOC_GETFLAGS, AS_FLAGS],
  [FS_IOC_FSGETXATTR, AS_XFLAGS],
]);
const SETTERS = new Map([
  [FS_IOC_SETFLAGS, AS_FLAGS],
  [FS_IOC_FSSETXATTR, AS_XFLAGS],
]);

/**
 * Runs a flag ioctl; the kernel has checked the caller (vfs_fileattr_set()). ENOTTY where the real file has no flags, and for
 * every other command: anyone who may open a file could otherwise issue it with our privileges.
 */
export function ioctl(ov: Overlay, inode: Inode, command: number, data: Buffer): void {
  const setter = SETTERS.get(command);
  const getter = setter ?? GETTERS.get(command) ?? fail(sys.ENOTTY, 'ioctl');
  // The real ioctl reads and writes that much, however long `data` is.
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
 * Sets flags on the real file, except for the two that are kept in `overlay.protattr` (ovl_fileattr_set()). The real ones come
 * first: a filesystem may refuse them, and the mark must not outlive that.
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
  const value = protattrOf(bits);
  if (bits !== 0) must(sys.setxattr(ov.atFd, ov.atName, ov.own.protattr, value, value.length), 'set flags');
  else if (before !== 0) {
    // Without a mark it was a flag of the real file, and is cleared by now.
    const rc = sys.removexattr(ov.atFd, ov.atName, ov.own.protattr);
    if (rc !== -sys.ENODATA) must(rc, 'set flags');
  }
  // A cached descriptor of a file that was append-only can only append.
  ov.files.drop(inode);
  inode.protection = bits;
  // The kernel does not expect an ioctl to change the ctime.
  ov.services.notify.attributes(inode.id);
}
