/** Rows of the op table that deal with names and nodes. */
import { majorOf, minorOf } from '../sys/device-number.js';
import { FUSE_BATCH_FORGET, FUSE_FORGET } from './abi.js';
import type { Exchange, Grant, OpRow } from './exchange.js';
import { Malformed, type Request } from './request.js';
import { quote } from './trace.js';

/** The reply holds a struct fuse_entry_out at its start: one lookup of its node. */
export const ENTRY: Grant = {
  undo: (x) => {
    const node = x.reply.nodeAt(0);
    if (node !== 0) x.fs.forget(node, 1);
  },
  show: (x) => (x.reply.nodeAt(0) === 0 ? 'negative' : `node ${x.reply.nodeAt(0)}`),
};

const showName = (r: Request): string => quote(r.name(0));

function lookup(x: Exchange): number {
  const { request: r, entry } = x;
  return x.fs.lookup(r.node, r.name(0), r.caller, entry) ? x.reply.entryOut(entry) : x.reply.negativeOut();
}

function batchForget(x: Exchange): number {
  const { request: r } = x;
  const count = r.u32(0);
  if (count * 16 > r.size - 8) throw new Malformed(`${count} nodes announced`);
  for (let at = 8; at < 8 + count * 16; at += 16) x.fs.forget(r.nodeAt(at), r.u64(at + 8));
  return 0;
}

function mknod(x: Exchange): number {
  const { request: r, entry } = x;
  const dev = r.u32(4);
  r.caller.umask = r.u32(8);
  const rdev = { major: majorOf(dev), minor: minorOf(dev) };
  x.fs.mknod(r.node, r.name(16), r.u32(0), rdev, r.caller, entry);
  return x.reply.entryOut(entry);
}

function mkdir(x: Exchange): number {
  const { request: r, entry } = x;
  r.caller.umask = r.u32(4);
  x.fs.mkdir(r.node, r.name(8), r.u32(0) & 0o7777, r.caller, entry);
  return x.reply.entryOut(entry);
}

/** name NUL target NUL */
function symlink(x: Exchange): number {
  const { request: r, entry } = x;
  const name = r.name(0);
  x.fs.symlink(r.node, name, r.text(name.length + 1), r.caller, entry);
  return x.reply.entryOut(entry);
}

function link(x: Exchange): number {
  const { request: r, entry } = x;
  x.fs.link(r.nodeAt(0), r.node, r.name(8), entry);
  return x.reply.entryOut(entry);
}

/** RENAME and RENAME2: old name NUL new name NUL at `names`. */
function rename(x: Exchange, names: number, flags: number): number {
  const { request: r } = x;
  const name = r.name(names);
  const from = { parent: r.node, name };
  const to = { parent: r.nodeAt(0), name: r.name(names + name.length + 1) };
  x.fs.rename(from, to, flags);
  return 0;
}

function showRename(r: Request, names: number): string {
  const name = r.name(names);
  return `${quote(name)} to node ${r.nodeAt(0)} ${quote(r.name(names + name.length + 1))}`;
}

function readlink(x: Exchange): number {
  return x.reply.text(0, x.fs.readlink(x.request.node));
}

export const nameOps: readonly OpRow[] = [
  // Valid replies: entry (nodeid 0: negative), errno.
  { code: 1, name: 'LOOKUP', args: 2, handle: lookup, grants: ENTRY, show: showName },
  // No reply.
  {
    code: FUSE_FORGET,
    name: 'FORGET',
    args: 8,
    handle: (x) => {
      x.fs.forget(x.request.node, x.request.u64(0));
      return 0;
    },
    replies: false,
    show: (r) => `nlookup ${r.u64(0)}`,
  },
  // No reply.
  {
    code: FUSE_BATCH_FORGET,
    name: 'BATCH_FORGET',
    args: 8,
    handle: batchForget,
    replies: false,
    show: (r) => `${r.u32(0)} nodes`,
  },
  // Valid replies: target without NUL, errno.
  { code: 5, name: 'READLINK', args: 0, handle: readlink },
  // Valid replies: entry, errno.
  { code: 6, name: 'SYMLINK', args: 4, handle: symlink, grants: ENTRY, show: showName },
  {
    code: 8,
    name: 'MKNOD',
    args: 16 + 2,
    handle: mknod,
    grants: ENTRY,
    show: (r) => `${quote(r.name(16))} mode 0${r.u32(0).toString(8)}`,
  },
  {
    code: 9,
    name: 'MKDIR',
    args: 8 + 2,
    handle: mkdir,
    grants: ENTRY,
    show: (r) => `${quote(r.name(8))} mode 0${r.u32(0).toString(8)}`,
  },
  {
    code: 13,
    name: 'LINK',
    args: 8 + 2,
    handle: link,
    grants: ENTRY,
    show: (r) => `node ${r.nodeAt(0)} as ${quote(r.name(8))}`,
  },
  // Valid replies: empty, errno.
  {
    code: 10,
    name: 'UNLINK',
    args: 2,
    handle: (x) => {
      x.fs.unlink(x.request.node, x.request.name(0));
      return 0;
    },
    show: showName,
  },
  {
    code: 11,
    name: 'RMDIR',
    args: 2,
    handle: (x) => {
      x.fs.rmdir(x.request.node, x.request.name(0));
      return 0;
    },
    show: showName,
  },
  {
    code: 12,
    name: 'RENAME',
    args: 8 + 4,
    handle: (x) => rename(x, 8, 0),
    show: (r) => showRename(r, 8),
  },
  {
    code: 45,
    name: 'RENAME2',
    args: 16 + 4,
    handle: (x) => rename(x, 16, x.request.u32(8)),
    show: (r) => `${showRename(r, 16)} flags ${r.u32(8)}`,
  },
];
