/** Rows of the op table for file data: open, read, write and their relatives. */
import { EINVAL, EIO, ENOSYS, ENOTTY, ENXIO } from '../sys/errno.js';
import { type NodeId, SetAttr } from '../vfs/types.js';
import * as abi from './abi.js';
import type { Exchange, Grant, OpRow } from './exchange.js';
import { ENTRY } from './ops-names.js';
import { Malformed, type Request } from './request.js';
import { quote, showRange } from './trace.js';

/** struct fuse_open_out at `offset` for what the filesystem put in `x.open`. */
function openOut(x: Exchange, offset: number, node: NodeId): number {
  const { open, ioModes } = x;
  if (ioModes !== null && x.negotiated.passthrough) {
    const id = ioModes.open(node, open.fh, open.backingFd);
    // The kernel refuses KEEP_CACHE together with PASSTHROUGH.
    if (id > 0) return x.reply.openOut(offset, open.fh, abi.FOPEN_PASSTHROUGH | abi.FOPEN_NOFLUSH, id);
  }
  const flags = (open.keepCache ? abi.FOPEN_KEEP_CACHE : 0) | abi.FOPEN_NOFLUSH;
  return x.reply.openOut(offset, open.fh, flags, 0);
}

const HANDLE: Grant = {
  undo: (x) => x.release(x.request.node, x.open.fh),
  show: (x) => `fh ${x.open.fh}`,
};

const ENTRY_AND_HANDLE: Grant = {
  undo: (x) => {
    x.release(x.entry.node, x.open.fh);
    ENTRY.undo(x);
  },
  show: (x) => `${ENTRY.show(x)} fh ${x.open.fh}`,
};

const killOnly = new SetAttr();
killOnly.killSuidGid = true;

/**
 * ENOSYS under zero-message opens, once and for all. OPEN with O_TRUNC may also ask to clear set-id bits (only with
 * ATOMIC_O_TRUNC): a separate step before the truncation.
 */
function open(x: Exchange): number {
  if (x.negotiated.zeroOpen) return -ENOSYS;
  const { request: r } = x;
  if ((r.u32(4) & abi.FUSE_OPEN_KILL_SUIDGID) !== 0) x.fs.setattr(r.node, killOnly, r.caller, x.attr);
  x.fs.open(r.node, r.u32(0), r.caller, x.freshOpen());
  return openOut(x, 0, r.node);
}

/** struct fuse_create_in: flags, mode, umask, open_flags. */
function decodeCreate(x: Exchange): { flags: number; mode: number } {
  const { request: r, create } = x;
  create.flags = r.u32(0);
  create.mode = r.u32(4);
  r.caller.umask = r.u32(8);
  return create;
}

/**
 * Under zero-message opens CREATE answers ENOSYS, once: the kernel then creates files with MKNOD, which is also one request,
 * but not followed by a RELEASE.
 *
 * CREATE is sent for a name that the kernel believes to be absent. If it existed after all, O_TRUNC would also ask to clear
 * its set-id bits. That is not done, because nobody changes a directory behind the kernel's back.
 */
function create(x: Exchange): number {
  if (x.negotiated.zeroOpen) return -ENOSYS;
  const { request: r, entry } = x;
  x.fs.create(r.node, r.name(16), decodeCreate(x), r.caller, entry, x.freshOpen());
  return openOut(x, x.reply.entryOut(entry), entry.node);
}

/** The name that the kernel sends along means nothing. */
function tmpfile(x: Exchange): number {
  const { request: r, entry } = x;
  x.fs.tmpfile(r.node, decodeCreate(x), r.caller, entry, x.freshOpen());
  return openOut(x, x.reply.entryOut(entry), entry.node);
}

/** A size that the reply can't hold is refused: a short answer would mean the end of the file. */
function read(x: Exchange): number {
  const { request: r, reply } = x;
  const size = r.u32(16);
  if (size > reply.body.length) return -EIO;
  return x.fs.read(r.node, r.fh(0), r.offset(8), reply.body, size);
}

function write(x: Exchange): number {
  const { request: r } = x;
  const size = r.u32(16);
  if (size > r.end - abi.WRITE_DATA) throw new Malformed(`${size} bytes of data announced`);
  const kill = (r.u32(20) & abi.FUSE_WRITE_KILL_SUIDGID) === 0 ? null : r.caller;
  return x.reply.sizeOut(x.fs.write(r.node, r.fh(0), r.offset(8), r.data, size, kill));
}

function fsync(x: Exchange): number {
  const { request: r } = x;
  x.fs.fsync(r.node, r.fh(0), (r.u32(8) & abi.FUSE_FSYNC_FDATASYNC) !== 0);
  return 0;
}

function fallocate(x: Exchange): number {
  const { request: r } = x;
  x.fs.fallocate(r.node, r.fh(0), r.u32(24), r.offset(8), r.offset(16));
  return 0;
}

/** SEEK_DATA and SEEK_HOLE; the kernel handles the others itself. No file that we can write has data beyond 2^53. */
function lseek(x: Exchange): number {
  const { request: r } = x;
  const offset = r.u64(8);
  if (offset > Number.MAX_SAFE_INTEGER) return -ENXIO;
  return x.reply.numberOut(x.fs.lseek(r.node, r.fh(0), offset, r.u32(16)));
}

/** `most`: the largest size that fits the reply's field, in whole pages. Returns bytes copied or -errno. */
function copy(x: Exchange, most: number): number {
  const { request: r, from, to } = x;
  from.node = r.node;
  from.fh = r.fh(0);
  from.offset = r.offset(8);
  to.node = r.nodeAt(16);
  to.fh = r.fh(24);
  to.offset = r.offset(32);
  if (r.u64(48) !== 0) return -EINVAL;
  return x.fs.copyFileRange(from, to, Math.min(r.u64(40), most));
}

function copyFileRange(x: Exchange): number {
  const done = copy(x, 0x7ffff000);
  return done < 0 ? done : x.reply.sizeOut(done);
}

function copyFileRange64(x: Exchange): number {
  const done = copy(x, Number.MAX_SAFE_INTEGER);
  return done < 0 ? done : x.reply.numberOut(done);
}

/** Bytes of an ioctl argument accepted at most; the largest flag ioctl has 28 (struct fsxattr). */
const IOCTL_DATA = 4096;
/**
 * Linux 5.14. The kernel checks who may set flags (vfs_fileattr_set()) since 5.13, which still has the minor version of older
 * ones.
 */
const CHECKED_IOCTLS_MINOR = 34;

/**
 * A restricted ioctl: the kernel copies `in_size` bytes in and `out_size` bytes out. The filesystem gets one buffer for
 * both, after the place of struct fuse_ioctl_out in the reply.
 */
function ioctl(x: Exchange): number {
  const { request: r, reply } = x;
  const inSize = r.u32(24);
  const outSize = r.u32(28);
  if (x.negotiated.minor < CHECKED_IOCTLS_MINOR || Math.max(inSize, outSize) > IOCTL_DATA) return -ENOTTY;
  if ((r.u32(8) & abi.FUSE_IOCTL_UNRESTRICTED) !== 0) return -ENOTTY;
  const data = reply.body.subarray(abi.IOCTL_OUT, abi.IOCTL_OUT + Math.max(inSize, outSize));
  data.fill(0);
  data.set(r.slice(32, inSize));
  x.fs.ioctl(r.node, r.fh(0), r.u32(12), data);
  reply.zero(0, abi.IOCTL_OUT);
  return abi.IOCTL_OUT + outSize;
}

const showCopy = (r: Request): string =>
  `offset ${r.u64(8)} to node ${r.nodeAt(16)} offset ${r.u64(32)} size ${r.u64(40)}`;

export const fileOps: readonly OpRow[] = [
  // Valid replies: open, errno. ENOSYS: opens need no message.
  {
    code: 14,
    name: 'OPEN',
    args: 8,
    handle: open,
    grants: HANDLE,
    show: (r) => `flags 0${r.u32(0).toString(8)}`,
  },
  // Valid replies: entry and open, errno.
  {
    code: 35,
    name: 'CREATE',
    args: 16 + 2,
    handle: create,
    grants: ENTRY_AND_HANDLE,
    show: (r) => `${quote(r.name(16))} flags 0${r.u32(0).toString(8)} mode 0${r.u32(4).toString(8)}`,
  },
  // Valid replies: entry and open, errno. Since Linux 6.2.
  {
    code: 51,
    name: 'TMPFILE',
    args: 16,
    handle: tmpfile,
    grants: ENTRY_AND_HANDLE,
    show: (r) => `flags 0${r.u32(0).toString(8)} mode 0${r.u32(4).toString(8)}`,
  },
  // Valid replies: data (short only at the end of the file), errno.
  { code: 15, name: 'READ', args: 40, handle: read, show: showRange },
  // Valid replies: size, errno.
  { code: 16, name: 'WRITE', args: 40, handle: write, show: showRange },
  // Valid replies: empty, errno.
  {
    code: 18,
    name: 'RELEASE',
    args: 24,
    handle: (x) => {
      x.release(x.request.node, x.request.fh(0));
      return 0;
    },
    show: (r) => `fh ${r.u64(0)}`,
  },
  // Writes go through, so nothing is left to do at close. Never ask again.
  { code: 25, name: 'FLUSH', args: 24, handle: () => -ENOSYS },
  { code: 20, name: 'FSYNC', args: 16, handle: fsync, show: (r) => `fh ${r.u64(0)}` },
  {
    code: 43,
    name: 'FALLOCATE',
    args: 32,
    handle: fallocate,
    show: (r) => `mode ${r.u32(24)} offset ${r.u64(8)} size ${r.u64(16)}`,
  },
  // Valid replies: offset, errno.
  { code: 46, name: 'LSEEK', args: 24, handle: lseek, show: (r) => `offset ${r.u64(8)} whence ${r.u32(16)}` },
  // Valid replies: size, errno. EXDEV, EOPNOTSUPP: the kernel copies by reading and writing.
  { code: 47, name: 'COPY_FILE_RANGE', args: 56, handle: copyFileRange, show: showCopy },
  // The same with a 64-bit size in the reply. Since Linux 6.18.
  { code: 53, name: 'COPY_FILE_RANGE_64', args: 56, handle: copyFileRange64, show: showCopy },
  // Valid replies: ioctl and data, errno.
  { code: 39, name: 'IOCTL', args: 32, handle: ioctl, show: (r) => `command 0x${r.u32(12).toString(16)}` },
];
