/** Messages to the kernel that answer no request: drop what you have cached. Written to the device as they are. */
import type { Name, NodeId } from '../vfs/types.js';
import {
  FUSE_EXPIRE_ONLY,
  FUSE_NOTIFY_DELETE,
  FUSE_NOTIFY_INVAL_ENTRY,
  FUSE_NOTIFY_INVAL_INODE,
  HI,
  OUT_HEADER,
} from './abi.js';

function message(code: number, size: number): Buffer {
  const bytes = Buffer.alloc(OUT_HEADER + size);
  bytes.writeUInt32LE(bytes.length, 0);
  // The code sits where a reply has its error; the request's number stays 0.
  bytes.writeInt32LE(code, 4);
  return bytes;
}

function put64(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32LE(value >>> 0, at);
  bytes.writeInt32LE(Math.floor(value / HI), at + 4);
}

/** Which part of a file's pages to drop. */
export interface ByteRange {
  readonly offset: number;
  /** 0: to the end. */
  readonly length: number;
}

/**
 * Attributes of `node` are no longer valid; with `range` its pages neither.
 * The kernel answers ENOENT when it does not know the node: harmless.
 */
export function invalInode(node: NodeId, range: ByteRange | null = null): Buffer {
  const bytes = message(FUSE_NOTIFY_INVAL_INODE, 24);
  put64(bytes, 16, node);
  // A negative offset leaves the pages alone.
  put64(bytes, 24, range === null ? -1 : range.offset);
  put64(bytes, 32, range === null ? 0 : range.length);
  return bytes;
}

/**
 * The entry `name` of `parent` is no longer valid, positive or negative. `expire`: only look it up again (Linux 6.2).
 * Must not be sent while serving a request on that directory: the kernel waits for its lock.
 */
export function invalEntry(parent: NodeId, name: Name, options: { readonly expire?: boolean } = {}): Buffer {
  const bytes = message(FUSE_NOTIFY_INVAL_ENTRY, 16 + name.length + 1);
  put64(bytes, 16, parent);
  bytes.writeUInt32LE(name.length, 24);
  bytes.writeUInt32LE(options.expire === true ? FUSE_EXPIRE_ONLY : 0, 28);
  bytes.latin1Write(name, 32, name.length);
  return bytes;
}

/** `name` of `parent`, which was `child`, is gone: as {@link invalEntry}, and watchers are told of a removal. */
export function deleteEntry(parent: NodeId, child: NodeId, name: Name): Buffer {
  const bytes = message(FUSE_NOTIFY_DELETE, 24 + name.length + 1);
  put64(bytes, 16, parent);
  put64(bytes, 24, child);
  bytes.writeUInt32LE(name.length, 32);
  bytes.latin1Write(name, 40, name.length);
  return bytes;
}
