/** SETATTR: mode, owner, size and times, after copy-up (ovl_setattr()). */
import * as sys from '../sys/index.js';
import { must } from '../vfs/errors.js';
import type { Caller, SetAttr } from '../vfs/types.js';
import { copyUp, settle } from './copy-up.js';
import { dataFd } from './file.js';
import type { Inode } from './inode.js';
import { IMMUTABLE, PROTECTED, refuse } from './inode-flags.js';
import { locate, type RealObject } from './locate.js';
import type { Owners } from './owners.js';
import { chmod, chown, setTimes } from './real-attr.js';
import { clearedMode, mayClear, setClearedMode } from './set-id.js';
import type { Overlay } from './state.js';

const OMIT = { sec: 0, nsec: sys.UTIME_OMIT };

/** Applies a change of attributes. EROFS, EPERM, and the errors of the upper's filesystem. */
export function setattr(ov: Overlay, inode: Inode, change: SetAttr, caller: Caller): void {
  ov.writable();
  const clearsOnly = changesNothing(change);
  if (clearsOnly && !change.killSuidGid && !mayClear(ov, inode, caller)) return;
  refuseProtected(ov, inode, change);
  settle(ov, inode);
  const truncatesAll = change.size === 0;
  copyUp(ov, inode, truncatesAll ? 'none' : change.size === null ? 'metacopy' : 'all');
  if (change.size !== null)
    must(resize(ov, dataFd(ov, inode, true), change.size, change.byName), 'ftruncate');
  locate(ov, inode);
  const at = { fd: ov.atFd, name: ov.atName };
  const chowns = change.uid !== null || change.gid !== null;
  // Decided before the chown, since it depends on the present group. For a chown by root, chown(2) itself clears everything.
  const byKernel = chowns && caller.uid === 0 && ov.owners === null;
  const cleared = clearsOnly || (change.killSuidGid && !byKernel) ? clearedMode(ov, at, caller) : null;
  if (ov.owners !== null) setOwner(ov, ov.owners, at, change);
  else {
    if (chowns) {
      must(chown(at.fd, at.name, change.uid ?? sys.KEEP_ID, change.gid ?? sys.KEEP_ID), 'chown');
    }
    if (change.mode !== null) must(chmod(at.fd, at.name, change.mode & 0o7777), 'chmod');
  }
  if (cleared !== null) setClearedMode(ov, at, cleared);
  if (clearsOnly) ov.bestEffort('chown', chown(at.fd, at.name, sys.KEEP_ID, sys.KEEP_ID));
  if (change.atime !== null || change.mtime !== null) {
    must(setTimes(at.fd, at.name, change.atime ?? OMIT, change.mtime ?? OMIT), 'utimensat');
  }
}

/**
 * Sets the size of an open file. truncate(2) to the current size leaves the times alone on xfs and btrfs; ftruncate(2) never
 * does. Size 0 also comes without a handle for open(O_TRUNC), which sets the times.
 */
function resize(ov: Overlay, fd: number, size: number, byName: boolean): number {
  if (byName && size > 0 && sys.fstatx(fd, ov.probe) === 0 && ov.probe.size === size) {
    const rc = sys.truncate(`/proc/self/fd/${fd}`, size);
    if (rc === 0) return rc;
  }
  return sys.ftruncate(fd, size);
}

/** Checks immutable and append-only objects like may_setattr(): the latter may be touched. EPERM. */
function refuseProtected(ov: Overlay, inode: Inode, change: SetAttr): void {
  if (changesNothing(change)) return;
  const onlyTimes =
    change.uid === null && change.gid === null && change.mode === null && change.size === null;
  const touched = change.atime?.nsec === sys.UTIME_NOW && change.mtime?.nsec === sys.UTIME_NOW;
  refuse(ov, inode, onlyTimes && touched ? IMMUTABLE : PROTECTED);
}

/** Changes owner and mode where owners differ from those of the objects. */
function setOwner(ov: Overlay, owners: Owners, at: RealObject, change: SetAttr): void {
  const { mode } = change;
  const uid = change.uid === null ? null : owners.storedUid(change.uid);
  const gid = change.gid === null ? null : owners.storedGid(change.gid);
  if (uid === null && gid === null && mode === null) return;
  const recorded = owners.change(ov, at, (owner) => {
    owner.uid = uid ?? owner.uid;
    owner.gid = gid ?? owner.gid;
    if (mode !== null) owner.mode = (owner.mode & sys.S_IFMT) | (mode & 0o7777);
  });
  if (recorded) return;
  if (uid !== null || gid !== null) {
    const rc = chown(at.fd, at.name, uid ?? sys.KEEP_ID, gid ?? sys.KEEP_ID);
    if (owners.squashes || owners.written !== null) ov.bestEffort('chown', rc);
    else must(rc, 'chown');
  }
  if (mode !== null) must(chmod(at.fd, at.name, mode & 0o7777), 'chmod');
}

/**
 * The kernel sends a SETATTR without any attribute in two cases: before a write by someone who may not keep set-id
 * bits (file_remove_privs()), and for chown(-1, -1). Both clear them, and Linux sets the ctime.
 */
function changesNothing(change: SetAttr): boolean {
  const owner = change.uid === null && change.gid === null;
  const times = change.atime === null && change.mtime === null;
  return owner && times && change.mode === null && change.size === null;
}
