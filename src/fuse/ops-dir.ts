/** Rows of the op table for open directories. */
import { EINVAL, ENOSYS } from '../sys/errno.js';
import * as abi from './abi.js';
import type { Exchange, Grant, OpRow } from './exchange.js';
import { showRange } from './trace.js';

const DIRECTORY: Grant = {
  undo: (x) => x.fs.releasedir(x.request.node, x.open.fh),
  show: (x) => `fh ${x.open.fh}`,
};

/** All entries of a READDIRPLUS: one lookup for each that has a nodeid. */
const ENTRIES: Grant = {
  undo: (x) => x.dirents.abandon(),
  show: (x) => `${x.dirents.count} entries`,
};

function opendir(x: Exchange): number {
  if (x.negotiated.zeroOpendir) return -ENOSYS;
  const reply = x.freshOpen();
  reply.fh = x.fs.opendir(x.request.node);
  return x.reply.openOut(0, reply.fh, abi.FOPEN_KEEP_CACHE | abi.FOPEN_CACHE_DIR, 0);
}

function readdir(x: Exchange, plus: boolean): number {
  const { request: r, dirents } = x;
  dirents.start(plus, r.u32(16));
  let done = false;
  try {
    x.fs.readdir(r.node, r.fh(0), r.u64(8), r.caller, dirents);
    done = true;
  } finally {
    // Nothing is sent: FsError, Deferred or a bug after some entries.
    if (!done) dirents.abandon();
  }
  return dirents.tooSmall ? -EINVAL : dirents.used;
}

function fsyncdir(x: Exchange): number {
  const { request: r } = x;
  x.fs.fsyncdir(r.node, r.fh(0), (r.u32(8) & abi.FUSE_FSYNC_FDATASYNC) !== 0);
  return 0;
}

export const dirOps: readonly OpRow[] = [
  // Valid replies: open, errno. ENOSYS: opens need no message, and the kernel may cache listings.
  { code: 27, name: 'OPENDIR', args: 8, handle: opendir, grants: DIRECTORY },
  // Valid replies: dirents (empty: the end), errno.
  { code: 28, name: 'READDIR', args: 40, handle: (x) => readdir(x, false), show: showRange },
  // Valid replies: direntplus records, errno.
  {
    code: 44,
    name: 'READDIRPLUS',
    args: 40,
    handle: (x) => readdir(x, true),
    grants: ENTRIES,
    show: showRange,
  },
  // Valid replies: empty, errno.
  {
    code: 29,
    name: 'RELEASEDIR',
    args: 24,
    handle: (x) => {
      x.fs.releasedir(x.request.node, x.request.fh(0));
      return 0;
    },
  },
  { code: 30, name: 'FSYNCDIR', args: 16, handle: fsyncdir },
];
