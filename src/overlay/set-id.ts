/**
 * Set-id bits: which changes clear them, depending on the caller, like the kernel's setattr_should_drop_suidgid(). We act with
 * CAP_FSETID, so no layer's filesystem does it for us, except in chown(2) of a real file.
 */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import { Attr, type Caller } from '../vfs/types.js';
import type { Inode } from './inode.js';
import { fillAttr, type RealObject, statAt, statInode } from './locate.js';
import type { Ownership } from './owners.js';
import { chmod } from './real-attr.js';
import type { Overlay } from './state.js';

const SET_ID = sys.S_ISUID | sys.S_ISGID;

/** `group`: of the object, as callers see it. */
function isMember(caller: Caller, group: number): boolean {
  return caller.gid === group || sys.groupsOf(caller.pid).includes(group);
}

/** The bits of `mode` to clear: set-uid, and set-gid if the group may execute or the caller is neither in it nor root. */
function dropped(mode: number, group: number, caller: Caller): number {
  if ((mode & SET_ID) === 0 || (mode & sys.S_IFMT) !== sys.S_IFREG) return 0;
  const keeps = (mode & sys.S_IXGRP) === 0 && (caller.uid === 0 || isMember(caller, group));
  return mode & (keeps ? sys.S_ISUID : SET_ID);
}

/** Mode of an upper object without the bits to clear; null when there are none. */
export function clearedMode(ov: Overlay, at: RealObject, caller: Caller): number | null {
  const { probe, owners } = ov;
  if (statAt(at.fd, at.name, probe) < 0) return null;
  const owner: Ownership = owners === null ? probe : { uid: 0, gid: probe.gid, mode: probe.mode };
  if (owners !== null) {
    owners.applyOverride(ov, ov.upperLayer!, at, owner);
    owner.gid = owners.shownGid(owner.gid);
  }
  const bits = dropped(owner.mode, owner.gid, caller);
  return bits === 0 ? null : owner.mode & ~bits;
}

/** Sets the mode that {@link clearedMode} returned on an upper object. */
export function setClearedMode(ov: Overlay, at: RealObject, mode: number): void {
  const recorded = ov.owners?.change(ov, at, (owner) => {
    owner.mode = mode;
  });
  if (recorded !== true) must(chmod(at.fd, at.name, mode & 0o7777), 'chmod');
}

/** Clears the bits after a write by `caller`. File capabilities are removed by the write itself. */
export function killSuidGid(ov: Overlay, at: RealObject, caller: Caller): void {
  const mode = clearedMode(ov, at, caller);
  if (mode !== null) setClearedMode(ov, at, mode);
}

/**
 * chown(2), fchown, lchown, fchownat of x86-64, arm64, i386 and 32-bit ARM. None of these numbers is a call that clears set-id bits
 * on another of these architectures.
 */
const CHOWNS = new Set([92, 93, 94, 260, 54, 55, 182, 95, 16, 212, 207, 198, 298, 325]);
/** The bit that marks x32 system calls. */
const X32 = 0x40000000;

/** A caller may have write permission through a group that the request does not contain, or through an ACL. */
const MAY_WRITE = 0o022;

const seen = new Attr();

/**
 * Whether a SETATTR without any attribute clears the bits. The kernel sends it before a write through a descriptor, by any
 * caller who has that, if set-id bits or a file capability must be removed; and for chown(-1, -1), which anyone may call but only
 * the owner may do. The kernel does not check this. EPERM.
 */
export function mayClear(ov: Overlay, inode: Inode, caller: Caller): boolean {
  if (inode.type !== sys.S_IFREG) return true;
  statInode(ov, inode);
  fillAttr(ov, inode, seen);
  if (dropped(seen.mode, seen.gid, caller) === 0) return true;
  const isRoot = caller.uid === 0;
  // From the owner both mean the same.
  if (!isRoot && caller.uid === seen.uid) return true;
  const call = sys.syscallOf(caller.pid);
  if (call !== null && !CHOWNS.has(call & ~X32)) return !sys.isCapable(caller.pid, sys.CAP_FSETID);
  if (isRoot || (call === null && (seen.mode & MAY_WRITE) !== 0)) return true;
  // A following WRITE clears them by its own flag. Under passthrough there is none.
  if (call !== null || ov.services.dataMode === 'passthrough') fail(sys.EPERM, 'clear set-id bits');
  return false;
}
