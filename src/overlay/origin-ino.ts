/** st_ino of a copied-up object: that of its lower object, which is recorded in the `origin` xattr. */

import * as sys from '../sys/index.js';
import { fail } from '../vfs/errors.js';
import { claim } from './claims.js';
import type { Layer } from './config.js';
import type { Inode } from './inode.js';
import { attachUpper } from './link-index.js';
import type { RealObject } from './locate.js';
import { HOLDS_NO_MARK, readOrigin } from './marks.js';
import { decodeOrigin, encodeOrigin, type Origin } from './origin.js';
import type { Overlay } from './state.js';

/**
 * Gives `inode`, an upper file just found as `name` in `parent`, the number of its origin, if the origin is known and still
 * exists. A lower file with several links counts as origin only of its copy in the index: other copies are different files
 * (ovl_getattr()). ESTALE for a second file with the same origin.
 */
export function originIno(ov: Overlay, parent: Inode, name: string, inode: Inode): void {
  const blob = readOrigin(ov, ov.dirs.fd(parent.dir!.upper!), name);
  const origin = blob === null ? null : decodeOrigin(blob);
  if (origin === null) return;
  const layer = ov.opened.canOpenByHandle
    ? statOrigin(ov.opened.layers, origin, ov.probe, (fd, handle, flags) => openHandle(ov, fd, handle, flags))
    : statNamesake(ov, parent, name, origin);
  if (layer === null || (ov.probe.mode & sys.S_IFMT) !== inode.type) return;
  const { nlink, inoLo, inoHi } = ov.probe;
  const isIndexed = ov.indexDir >= 0 && attachUpper(ov, inode, layer, origin.handle, ov.probe);
  if (nlink !== 1 && !isIndexed) return;
  ov.inoMap.map(layer, inoLo, inoHi, inode);
  if (!isIndexed) claim(ov, inode);
}

/** Opens by handle, but throws when no descriptor is left: that does not mean that the origin is gone. */
function openHandle(ov: Overlay, mountFd: number, handle: sys.FileHandle, flags: number): number {
  const fd = ov.openByHandle(mountFd, handle, flags);
  return fd === -sys.EMFILE || fd === -sys.ENFILE ? fail(-fd, 'open_by_handle_at') : fd;
}

/**
 * Stores the attributes of an origin in `out`. Returns its layer, or null when it can't be found (ovl_check_origin_fh()). Throws
 * what `open` throws.
 */
export function statOrigin(
  layers: readonly Layer[],
  origin: Origin,
  out: sys.Stat,
  open: typeof sys.openByHandle = sys.openByHandle,
): Layer | null {
  let found: Layer | null = null;
  for (const layer of layers) {
    if (layer.kind !== 'lower' || !layer.originOk || !sameUuid(layer.uuid, origin.uuid)) continue;
    const fd = open(layer.handleFd, origin.handle, sys.O_PATH | sys.O_CLOEXEC);
    if (fd < 0) continue;
    const rc = sys.fstatx(fd, out);
    sys.close(fd);
    if (rc < 0) continue;
    found ??= layer;
    // A handle is valid in all subvolumes of a btrfs, each of which may be a layer.
    if (out.devMajor === layer.devMajor && out.devMinor === layer.devMinor) return layer;
  }
  return found;
}

/**
 * The same into `ov.probe` without the privilege to open by handle: checks whether a lower object of the same name has this
 * handle.
 */
function statNamesake(ov: Overlay, parent: Inode, name: string, origin: Origin): Layer | null {
  for (const real of parent.dir!.real) {
    if (real.isUpper) continue;
    const fd = ov.dirs.fd(real);
    const handle = sys.nameToHandle(fd, name);
    if (typeof handle === 'number' || handle.type !== origin.handle.type) continue;
    if (!handle.bytes.equals(origin.handle.bytes)) continue;
    return sys.statx(fd, name, ov.probe) < 0 ? null : real.layer;
  }
  return null;
}

/** Whether a stored uuid may be that of a layer's filesystem: zeros stand for none, or an unknown one. */
function sameUuid(ours: Uint8Array | null, theirs: Buffer): boolean {
  if (ours === null) return theirs.every((byte) => byte === 0);
  return theirs.equals(ours) || theirs.every((byte) => byte === 0);
}

/** Errors of name_to_handle_at(2) that say that an object has no handle, or that this process may not ask for it. */
const HAS_NO_HANDLE = new Set([sys.EOPNOTSUPP, sys.EOVERFLOW, sys.EPERM, sys.EACCES, sys.ENOSYS]);

/**
 * Records on a copy, before it is installed, which lower object it comes from (ovl_set_origin()). A filesystem that
 * has no handles, or refuses the xattr, leaves the origin unknown: that costs a constant st_ino after a remount. Returns 0 or
 * -errno: where there is only no room for it, or asking for the handle failed, there must be no copy, for in the index none may be
 * without an origin.
 */
export function writeOrigin(ov: Overlay, from: RealObject, layer: Layer, to: RealObject): number {
  if (!ov.opened.features.xattr || ov.mountPoints?.isStandIn(layer)) return 0;
  const handle = ov.opened.features.handles ? sys.nameToHandle(from.fd, from.name) : -sys.EOPNOTSUPP;
  if (typeof handle === 'number' && !HAS_NO_HANDLE.has(-handle)) return handle;
  const blob = typeof handle === 'number' ? Buffer.alloc(0) : encodeOrigin(layer.uuid, handle, false);
  const rc = sys.setxattr(to.fd, to.name, ov.own.origin, blob, blob.length);
  if (!HOLDS_NO_MARK.has(-rc)) return rc;
  ov.bestEffort('set origin', rc);
  return 0;
}
