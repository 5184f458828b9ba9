/**
 * Extended attributes as callers see them (fs/overlayfs/xattrs.c): the overlay's own are hidden, and what a caller stores under
 * their names is kept one level deeper, so that overlays can be nested.
 */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import type { Caller, Name } from '../vfs/types.js';
import type { Layer } from './config.js';
import { copyUp, settle } from './copy-up.js';
import type { Inode } from './inode.js';
import { PROTECTED, refuse } from './inode-flags.js';
import { layerOf, locate, statAt } from './locate.js';
import { decodedXattr, encodedXattr } from './owners.js';
import { chmod } from './real-attr.js';
import { mayClear } from './set-id.js';
import type { Overlay } from './state.js';
import { isVirtual, refuseVirtual } from './virtual-xattrs.js';

const ESCAPE = 'overlay.';
const LABEL = 'security.selinux';
const ACL_PREFIX = 'system.posix_acl_';
const TRUSTED = 'trusted.';

/** The layer of an inode's object where layers may keep owners in xattrs; else null. */
function overrider(ov: Overlay, inode: Inode): Layer | null {
  return ov.owners === null ? null : layerOf(ov, inode);
}

/** The name under which a caller's attribute is stored. EINVAL without a name, EOPNOTSUPP when that is too long. */
function storedName(ov: Overlay, name: Name, layer: Layer | null): Name {
  const { prefix } = ov.own;
  if (!name.startsWith(prefix)) return encodedXattr(layer, name) ?? fail(sys.EOPNOTSUPP, 'xattr');
  if (name.length === prefix.length) fail(sys.EINVAL, 'xattr name');
  const stored = prefix + ESCAPE + name.slice(prefix.length);
  if (stored.length > sys.XATTR_NAME_MAX) fail(sys.EOPNOTSUPP, 'xattr name');
  return stored;
}

/** The name that a caller sees for a stored one; null: hidden. */
function shownName(ov: Overlay, stored: Name, layer: Layer | null): Name | null {
  const { prefix } = ov.own;
  if (isVirtual(stored) || (!ov.options.acl && stored.startsWith(ACL_PREFIX))) return null;
  if (!stored.startsWith(prefix)) return decodedXattr(layer, stored);
  if (!stored.startsWith(ESCAPE, prefix.length)) return null;
  return prefix + stored.slice(prefix.length + ESCAPE.length);
}

function isOff(ov: Overlay, name: Name): boolean {
  return !ov.options.xattrs || (!ov.options.acl && name.startsWith(ACL_PREFIX));
}

/** Reads an attribute into `into`. Returns its length or -errno: absence is an ordinary answer. */
export function getxattr(ov: Overlay, inode: Inode, name: Name, into: Uint8Array, size: number): number {
  if (isOff(ov, name)) return -sys.EOPNOTSUPP;
  if (inode.lacksCapability && name === sys.XATTR_NAME_CAPS) return -sys.ENODATA;
  locate(ov, inode);
  const rc = sys.getxattr(ov.atFd, ov.atName, storedName(ov, name, overrider(ov, inode)), into, size);
  // ls asks for the label of each file until it is told that labels are not supported.
  if (rc === -sys.ENODATA && name === LABEL && !ov.opened.hasLabels) return -sys.EOPNOTSUPP;
  if (rc === -sys.ENODATA && name === sys.XATTR_NAME_CAPS) inode.lacksCapability = true;
  return rc;
}

/**
 * Stores NUL-terminated names in `into`. Returns their length, or -ERANGE when that exceeds a `size` other than 0. Kernel overlayfs
 * shows `trusted.*` to callers with CAP_SYS_ADMIN (ovl_can_list()); we only know the caller's `uid`.
 */
export function listxattr(ov: Overlay, inode: Inode, uid: number, into: Uint8Array, size: number): number {
  if (!ov.options.xattrs) return -sys.EOPNOTSUPP;
  locate(ov, inode);
  const names = sys.xattrNames(ov.atFd, ov.atName);
  if (typeof names === 'number') return names;
  if (names.length === 0) return 0;
  const layer = overrider(ov, inode);
  let shown = '';
  for (const stored of names) {
    const name = shownName(ov, stored, layer);
    if (name !== null && (uid === 0 || !name.startsWith(TRUSTED))) shown += `${name}\0`;
  }
  if (size === 0) return shown.length;
  if (shown.length > size) return -sys.ERANGE;
  Buffer.from(into.buffer, into.byteOffset, into.byteLength).latin1Write(shown, 0, shown.length);
  return shown.length;
}

/** Sets an attribute after copy-up; `killSgid`: the caller may set this ACL, but must not keep the set-gid bit. Throws FsError. */
export function setxattr(
  ov: Overlay,
  inode: Inode,
  name: Name,
  value: Uint8Array,
  how: { readonly flags: number; readonly killSgid: boolean },
): void {
  ov.writable();
  refuseVirtual(name);
  if (isOff(ov, name)) fail(sys.EOPNOTSUPP, 'xattr');
  const stored = storedName(ov, name, ov.owners === null ? null : ov.upperLayer);
  refuse(ov, inode, PROTECTED);
  settle(ov, inode);
  copyUpInode(ov, inode);
  locate(ov, inode);
  if (name === sys.XATTR_NAME_CAPS) inode.lacksCapability = false;
  must(sys.setxattr(ov.atFd, ov.atName, stored, value, value.length, how.flags), 'setxattr');
  if (!how.killSgid || ov.owners?.change(ov, { fd: ov.atFd, name: ov.atName }, dropSgid)) return;
  must(statAt(ov.atFd, ov.atName, ov.probe), 'statx');
  const kept = ov.probe.mode & 0o7777 & ~sys.S_ISGID;
  must(chmod(ov.atFd, ov.atName, kept), 'chmod');
}

/** Copy-up, but without a link on upper for another name of a file already there, like ovl_xattr_set() and ovl_set_acl(). */
function copyUpInode(ov: Overlay, inode: Inode): void {
  if (!inode.hasUpper) copyUp(ov, inode, 'metacopy');
}

function dropSgid(owner: { mode: number }): void {
  owner.mode &= ~sys.S_ISGID;
}

/** Removes an attribute. A missing one is ENODATA, without copy-up; but on upper a missing ACL is as good as removed. */
export function removexattr(ov: Overlay, inode: Inode, name: Name, caller: Caller): void {
  ov.writable();
  refuseVirtual(name);
  if (isOff(ov, name)) fail(sys.EOPNOTSUPP, 'xattr');
  refuse(ov, inode, PROTECTED);
  settle(ov, inode);
  locate(ov, inode);
  const there = storedName(ov, name, overrider(ov, inode));
  const rc = sys.getxattr(ov.atFd, ov.atName, there, ov.scratch, 0);
  if (rc === -sys.ENODATA && inode.hasUpper && name.startsWith(ACL_PREFIX)) return;
  must(rc, 'removexattr');
  // The kernel begins a chown(-1, -1) by any caller like this; it must not be done halfway.
  if (name === sys.XATTR_NAME_CAPS && caller.uid !== 0) mayClear(ov, inode, caller);
  copyUpInode(ov, inode);
  locate(ov, inode);
  const stored = storedName(ov, name, overrider(ov, inode));
  must(sys.removexattr(ov.atFd, ov.atName, stored), 'removexattr');
}
