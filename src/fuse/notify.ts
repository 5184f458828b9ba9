/** Messages to the kernel that answer no request: invalidate what you have cached. Written to the device as they are. */
import { TWO_32 } from '../sys/consts.js';
import type { NodeId } from '../vfs/types.js';
import { FUSE_NOTIFY_INVAL_INODE, OUT_HEADER } from './abi.js';

function put64(bytes: Buffer, at: number, value: number): void {
  bytes.writeUInt32LE(value >>> 0, at);
  bytes.writeInt32LE(Math.floor(value / TWO_32), at + 4);
}

/** Which part of a file's pages to drop. */
export interface ByteRange {
  readonly offset: number;
  /** 0: to the end. */
  readonly length: number;
}

/**
 * Invalidates the attributes of `node`, and with `range` its pages. The kernel answers ENOENT when it does not know the node,
 * which is harmless.
 */
export function invalInode(node: NodeId, range: ByteRange | null = null): Buffer {
  const bytes = Buffer.alloc(OUT_HEADER + 24);
  bytes.writeUInt32LE(bytes.length, 0);
  // The code sits where a reply has its error; the request's number stays 0.
  bytes.writeInt32LE(FUSE_NOTIFY_INVAL_INODE, 4);
  put64(bytes, 16, node);
  // A negative offset leaves the pages alone.
  put64(bytes, 24, range === null ? -1 : range.offset);
  put64(bytes, 32, range === null ? 0 : range.length);
  return bytes;
}
