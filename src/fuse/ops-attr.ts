/** Rows of the op table for attributes and extended attributes. */
import { ENOSYS } from '../sys/errno.js';
import { type Timespec, UTIME_NOW } from '../sys/timespec.js';
import { type Fh, NO_FH, type SetAttr } from '../vfs/types.js';
import * as abi from './abi.js';
import type { Exchange, OpRow } from './exchange.js';
import type { Request } from './request.js';
import { quote } from './trace.js';

/** The handle of a GETATTR or STATX, when it carries one. */
function handleOf(r: Request): Fh {
  return (r.u32(0) & abi.FUSE_GETATTR_FH) === 0 ? NO_FH : r.fh(8);
}

function getattr(x: Exchange): number {
  const { request: r, attr } = x;
  x.fs.getattr(r.node, handleOf(r), attr);
  return x.reply.attrOut(attr);
}

/**
 * Entries carry no birth time, so the kernel sends a STATX for each statx(2) that asks for one, even for files whose
 * attributes it knows. Node, Rust and stat(1) always ask.
 */
function statx(x: Exchange): number {
  if (!x.settings.btime) return -ENOSYS;
  const { request: r, attr } = x;
  x.fs.getattr(r.node, handleOf(r), attr);
  return x.reply.statxOut(attr);
}

/** One of the times of a struct fuse_setattr_in: its FATTR_* bits, and the offsets of seconds and nanoseconds. */
interface TimeField {
  readonly set: number;
  readonly now: number;
  readonly sec: number;
  readonly nsec: number;
}

const ATIME: TimeField = { set: abi.FATTR_ATIME, now: abi.FATTR_ATIME_NOW, sec: 32, nsec: 56 };
const MTIME: TimeField = { set: abi.FATTR_MTIME, now: abi.FATTR_MTIME_NOW, sec: 40, nsec: 60 };

/** Decodes a time into `into`; null when the request leaves it alone. "Now" wins over a value. */
function decodeTime(r: Request, valid: number, field: TimeField, into: Timespec): Timespec | null {
  if ((valid & field.set) === 0) return null;
  const isNow = (valid & field.now) !== 0;
  into.sec = isNow ? 0 : r.i64(field.sec);
  into.nsec = isNow ? UTIME_NOW : r.u32(field.nsec);
  return into;
}

/**
 * Decodes struct fuse_setattr_in into the reusable {@link SetAttr}. Of the handle, all that matters is whether there is
 * one; a ctime is only sent with a writeback cache, which INIT does not ask for.
 */
function decodeSetAttr(x: Exchange): SetAttr {
  const { request: r, set } = x;
  const valid = r.u32(0);
  const has = (bit: number): boolean => (valid & bit) !== 0;
  set.mode = has(abi.FATTR_MODE) ? r.u32(68) : null;
  set.uid = has(abi.FATTR_UID) ? r.u32(76) : null;
  set.gid = has(abi.FATTR_GID) ? r.u32(80) : null;
  set.size = has(abi.FATTR_SIZE) ? r.offset(16) : null;
  set.byName = set.size !== null && !has(abi.FATTR_FH);
  set.atime = decodeTime(r, valid, ATIME, x.atime);
  set.mtime = decodeTime(r, valid, MTIME, x.mtime);
  set.killSuidGid = has(abi.FATTR_KILL_SUIDGID);
  return set;
}

function setattr(x: Exchange): number {
  const { request: r, attr } = x;
  x.fs.setattr(r.node, decodeSetAttr(x), r.caller, attr);
  return x.reply.attrOut(attr);
}

/** The answer is a size when the request asks for the length (size 0), else the value itself. */
function xattrReply(x: Exchange, asked: number, length: number): number {
  return length < 0 || asked > 0 ? length : x.reply.sizeOut(length);
}

function getxattr(x: Exchange): number {
  if (!x.settings.xattrs) return -ENOSYS;
  const { request: r, reply } = x;
  const size = Math.min(r.u32(0), reply.body.length);
  return xattrReply(x, size, x.fs.getxattr(r.node, r.text(8), r.caller, reply.body, size));
}

function listxattr(x: Exchange): number {
  if (!x.settings.xattrs) return -ENOSYS;
  const { request: r, reply } = x;
  const size = Math.min(r.u32(0), reply.body.length);
  return xattrReply(x, size, x.fs.listxattr(r.node, r.caller, reply.body, size));
}

/** struct fuse_setxattr_in: 8 bytes, or 16 with SETXATTR_EXT; then name NUL value. */
function setxattr(x: Exchange): number {
  if (!x.settings.xattrs) return -ENOSYS;
  const { request: r } = x;
  const ext = x.negotiated.setxattrExt;
  const at = ext ? 16 : 8;
  const name = r.text(at);
  const value = r.slice(at + name.length + 1, r.u32(0));
  const kill = ext && (r.u32(8) & abi.FUSE_SETXATTR_ACL_KILL_SGID) !== 0;
  x.fs.setxattr(r.node, name, value, r.u32(4), kill);
  return 0;
}

function removexattr(x: Exchange): number {
  if (!x.settings.xattrs) return -ENOSYS;
  x.fs.removexattr(x.request.node, x.request.text(0), x.request.caller);
  return 0;
}

function statfs(x: Exchange): number {
  x.fs.statfs(x.request.node, x.stat);
  return x.reply.statfsOut(x.stat);
}

export const attrOps: readonly OpRow[] = [
  // Valid replies: attr, errno.
  { code: 3, name: 'GETATTR', args: 16, handle: getattr },
  {
    code: 4,
    name: 'SETATTR',
    args: 88,
    handle: setattr,
    show: (r) => `valid 0x${r.u32(0).toString(16)} size ${r.u64(16)} mode 0${r.u32(68).toString(8)}`,
  },
  // Valid replies: statx, errno. Since Linux 6.6; sent when somebody wants the birth time.
  { code: 52, name: 'STATX', args: 24, handle: statx },
  // Valid replies: statfs, errno.
  { code: 17, name: 'STATFS', args: 0, handle: statfs },
  // Valid replies: empty, errno. ENOSYS: no xattrs here, never ask again.
  { code: 21, name: 'SETXATTR', args: 8 + 2, handle: setxattr, show: (r) => `${r.u32(0)} bytes` },
  // Valid replies: value (or its size when asked with size 0), errno.
  {
    code: 22,
    name: 'GETXATTR',
    args: 8 + 2,
    handle: getxattr,
    show: (r) => `${quote(r.text(8))} size ${r.u32(0)}`,
  },
  { code: 23, name: 'LISTXATTR', args: 8, handle: listxattr, show: (r) => `size ${r.u32(0)}` },
  // Valid replies: empty, errno.
  { code: 24, name: 'REMOVEXATTR', args: 2, handle: removexattr, show: (r) => quote(r.text(0)) },
  // The kernel checks permissions by itself (default_permissions): never ask.
  { code: 34, name: 'ACCESS', args: 8, handle: () => -ENOSYS },
];
