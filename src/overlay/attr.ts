/** SETATTR: mode, owner, size and times, after copy-up (ovl_setattr()). */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import { Attr, type Caller, type SetAttr } from '../vfs/types.js';
import type { Target } from './copy-attributes.js';
import { copyUp, settle } from './copy-up.js';
import { dataFd } from './file.js';
import type { Inode } from './inode.js';
import { IMMUTABLE, PROTECTED, refuse } from './inode-flags.js';
import { fillAttr, locate, statAt, statInode } from './locate.js';
import type { Owners } from './owners.js';
import { chmod, chown, setTimes } from './real-attr.js';
import type { Overlay } from './state.js';

const OMIT = { sec: 0, nsec: sys.UTIME_OMIT };

/** Applies a change of attributes. EROFS, EPERM; what the upper's filesystem says. */
export function setattr(ov: Overlay, inode: Inode, change: SetAttr, caller: Caller): void {
  ov.writable();
  if (changesNothing(change) && !change.killSuidGid && !mayClear(ov, inode, caller)) {
    // A WRITE that follows says so itself. Under passthrough none will.
    if (ov.services.dataMode === 'passthrough') fail(sys.EPERM, 'clear set-id bits');
    return;
  }
  refuseProtected(ov, inode, change);
  settle(ov, inode);
  const truncatesAll = change.size === 0;
  copyUp(ov, inode, truncatesAll ? 'none' : change.size === null ? 'metacopy' : 'all');
  if (change.size !== null) must(sys.ftruncate(dataFd(ov, inode, true), change.size), 'ftruncate');
  locate(ov, inode);
  const fd = ov.atFd;
  const name = ov.atName;
  const chowns = change.uid !== null || change.gid !== null;
  if (ov.owners !== null) setOwner(ov, ov.owners, { fd, name }, change);
  else {
    if (chowns) {
      must(chown(fd, name, change.uid ?? sys.KEEP_ID, change.gid ?? sys.KEEP_ID), 'chown');
    }
    if (change.mode !== null) must(chmod(fd, name, change.mode & 0o7777), 'chmod');
  }
  const clearsOnly = changesNothing(change);
  // A real chown(2) has cleared the bits already.
  if (clearsOnly || (change.killSuidGid && !(chowns && ov.owners === null))) killSuidGid(ov, fd, name);
  if (clearsOnly) ov.bestEffort('chown', chown(fd, name, sys.KEEP_ID, sys.KEEP_ID));
  if (change.atime !== null || change.mtime !== null) {
    must(setTimes(fd, name, change.atime ?? OMIT, change.mtime ?? OMIT), 'utimensat');
  }
}

const seen = new Attr();

/** Who may write to a file may be one of its group by a group that a request does not tell, or by an ACL. */
const MAY_WRITE = 0o022;

/**
 * Whether set-id bits are cleared ({@link changesNothing}) for this caller, who owns the file or may write to it: the kernel
 * leaves it to us who may, and chown(-1, -1) is what anybody can ask for.
 */
function mayClear(ov: Overlay, inode: Inode, caller: Caller): boolean {
  if (caller.uid === 0 || inode.type !== sys.S_IFREG) return true;
  statInode(ov, inode);
  fillAttr(ov, inode, seen);
  const { mode, uid } = seen;
  return caller.uid === uid || (mode & MAY_WRITE) !== 0 || (mode & (sys.S_ISUID | sys.S_ISGID)) === 0;
}

/** Immutable and append-only objects, as may_setattr(): the latter may be touched. EPERM. */
function refuseProtected(ov: Overlay, inode: Inode, change: SetAttr): void {
  if (changesNothing(change)) return;
  const onlyTimes =
    change.uid === null && change.gid === null && change.mode === null && change.size === null;
  const touched = change.atime?.nsec === sys.UTIME_NOW && change.mtime?.nsec === sys.UTIME_NOW;
  refuse(ov, inode, onlyTimes && touched ? IMMUTABLE : PROTECTED);
}

/** The same where owners are not simply those of the objects. */
function setOwner(ov: Overlay, owners: Owners, at: Target, change: SetAttr): void {
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

/**
 * Clears set-uid, and set-gid where the group may execute, as the kernel's file_remove_privs() would if we had not
 * CAP_FSETID. Capabilities go by themselves with the write or chown.
 */
export function killSuidGid(ov: Overlay, fd: number, name: string): void {
  if (ov.owners?.change(ov, { fd, name }, dropSuidGid)) return;
  if (statAt(fd, name, ov.probe) < 0) return;
  const { mode } = ov.probe;
  dropSuidGid(ov.probe);
  if (ov.probe.mode !== mode) must(chmod(fd, name, ov.probe.mode & 0o7777), 'chmod');
}

function dropSuidGid(of: { mode: number }): void {
  const { mode } = of;
  if ((mode & sys.S_IFMT) !== sys.S_IFREG) return;
  of.mode &= ~sys.S_ISUID;
  if ((mode & sys.S_IXGRP) !== 0) of.mode &= ~sys.S_ISGID;
}
