/** What a copy-up preserves besides data: owner, xattrs (ACLs, capabilities, labels), mode, times. */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import type { Layer } from './config.js';
import { recordProtection } from './inode-flags.js';
import { type LayerObject, type RealObject, statAt } from './locate.js';
import { decodedXattr, encodedXattr, holdsOverride } from './owners.js';
import { chown } from './real-attr.js';
import type { Overlay } from './state.js';

/**
 * Makes owner, xattrs, mode and times of `to` those of `from`, in this order: a change of owner clears set-id bits and
 * capabilities, an ACL changes the mode, and none of them changes the times but ctime. Throws FsError.
 */
export function copyAttributes(ov: Overlay, from: LayerObject, to: RealObject): void {
  const { probe } = ov;
  must(statAt(from.fd, from.name, probe), 'statx');
  const { attributes, mode: ownMode } = probe;
  const { owners } = ov;
  owners?.applyOverride(ov, from.layer, from, probe);
  const { uid, gid, mode, atime, atimeNsec, mtime, mtimeNsec } = probe;
  const recorded = owners !== null && owners.written !== null && holdsOverride(mode);
  if (!recorded) copyOwner(ov, probe, to);
  copyXattrs(ov, from, to);
  recordProtection(ov, from, { attributes, mode: ownMode }, to);
  if (recorded) owners.record(to, { uid, gid, mode });
  else if ((mode & sys.S_IFMT) !== sys.S_IFLNK) {
    const bits = mode & 0o7777;
    // Without a name it is an open file, so there is no need to go through /proc as real-attr.ts does.
    must(to.name === '' ? sys.fchmod(to.fd, bits) : sys.fchmodat(to.fd, to.name, bits), 'chmod');
  }
  const a = { sec: atime, nsec: atimeNsec };
  const m = { sec: mtime, nsec: mtimeNsec };
  must(to.name === '' ? sys.futimens(to.fd, a, m) : sys.utimensat(to.fd, to.name, a, m), 'utimensat');
}

function copyOwner(ov: Overlay, of: { uid: number; gid: number }, to: RealObject): void {
  const { uid, gid } = of;
  // We created it, so it is ours already.
  if (ov.credentials.isSelf(uid, gid)) return;
  const rc = chown(to.fd, to.name, uid, gid);
  // Without the privilege to give files away, what we copy up stays ours.
  if (ov.opened.privileged || rc !== -sys.EPERM) must(rc, 'chown');
}

/**
 * Copies all xattrs but the overlay's own, like ovl_copy_xattr(): ACLs and security labels must not get lost, others may. E2BIG
 * for an object with more names than the kernel lists.
 */
function copyXattrs(ov: Overlay, from: LayerObject, to: RealObject): void {
  const names = sys.xattrNames(from.fd, from.name);
  if (names === -sys.EOPNOTSUPP) return;
  if (typeof names === 'number') fail(-names, 'listxattr');
  for (const name of names) {
    const own = name.startsWith(ov.own.prefix) && !name.startsWith('overlay.', ov.own.prefix.length);
    if (own) continue;
    const target = translated(ov, from.layer, name);
    if (target === null) continue;
    const size = sys.getxattr(from.fd, from.name, name, ov.scratch, ov.scratch.length);
    if (size === -sys.ENODATA) continue;
    const rc = size < 0 ? size : sys.setxattr(to.fd, to.name, target, ov.scratch, size);
    const vital = name.startsWith('security.') || name.startsWith('system.posix_acl_');
    const refused = rc === -sys.EOPNOTSUPP || (rc === -sys.EPERM && !ov.opened.privileged);
    if (refused && !(vital && ov.opened.privileged)) ov.bestEffort(`copy ${name}`, rc);
    else must(rc, `copy ${name}`);
  }
}

/** Name on upper of an xattr that is called `name` on `layer`; null if it concerns that layer only. */
function translated(ov: Overlay, layer: Layer, name: string): string | null {
  const shown = decodedXattr(layer, name);
  return shown === null ? null : encodedXattr(ov.upperLayer, shown);
}
