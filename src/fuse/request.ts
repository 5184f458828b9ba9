/** One request: a view over the bytes that the kernel sent. */
import { TWO_32 } from '../sys/consts.js';
import { EFBIG } from '../sys/errno.js';
import { fail } from '../vfs/errors.js';
import { Caller, type Fh, type NodeId } from '../vfs/types.js';
import { IN_HEADER, OUT_HEADER, WRITE_DATA } from './abi.js';

/** Thrown for bytes that no kernel sends: answered with EIO and logged, without a stack. */
export class Malformed {
  readonly reason: string;

  constructor(reason: string) {
    this.reason = reason;
  }
}

const NUL = 0;
const SLASH = 47;
const DOT = 46;

/**
 * A view of one request at a time; {@link attach} points it at the next. Only names are copied. Offsets of arguments count
 * from the end of the header.
 */
export class Request {
  /** The bytes; only the first {@link length} belong to the request. */
  bytes: Buffer = Buffer.alloc(0);
  length = 0;
  opcode = 0;
  /** The kernel's number of this request: never decoded, 0 when the bytes hold none. */
  uniqueLo = 0;
  uniqueHi = 0;
  node = 0 as NodeId;
  /** Who asks; `umask` is set by the handlers of creating requests. */
  readonly caller = new Caller();
  /** What follows the arguments of a WRITE, to the end of the buffer. */
  data: Uint8Array = this.bytes;
  /** End of the arguments in {@link bytes}: extensions that we did not ask for are cut off. */
  end = 0;
  #words: Uint32Array = new Uint32Array(0);
  #aligned: Buffer | null = null;

  /** Makes the first `length` bytes of `buffer` the request. Throws {@link Malformed}. */
  attach(buffer: Buffer, length: number): void {
    this.uniqueLo = this.uniqueHi = 0;
    this.opcode = 0;
    if (length < OUT_HEADER || length > buffer.length) throw new Malformed(`${length} bytes`);
    if (buffer !== this.bytes) this.#adopt(buffer, length);
    const u32 = this.#words;
    this.uniqueLo = u32[2]!;
    this.uniqueHi = u32[3]!;
    if (length < IN_HEADER) throw new Malformed(`${length} bytes`);
    this.length = length;
    this.opcode = u32[1]!;
    this.node = (u32[4]! + u32[5]! * TWO_32) as NodeId;
    const { caller } = this;
    caller.uid = u32[6]!;
    caller.gid = u32[7]!;
    caller.pid = u32[8]!;
    caller.umask = 0;
    // total_extlen, in units of 8 bytes
    this.end = length - (u32[9]! & 0xffff) * 8;
    if (u32[0] !== length) throw new Malformed(`header says ${u32[0]} bytes, got ${length}`);
    if (this.end < IN_HEADER) throw new Malformed('extensions longer than the request');
  }

  /** Size of the arguments in bytes. */
  get size(): number {
    return this.end - IN_HEADER;
  }

  /** The field at `offset`, unsigned. */
  u32(offset: number): number {
    return this.#words[(IN_HEADER + offset) >> 2]!;
  }

  /** A 64-bit field, unsigned; exact to 2^53. */
  u64(offset: number): number {
    const at = (IN_HEADER + offset) >> 2;
    return this.#words[at]! + this.#words[at + 1]! * TWO_32;
  }

  /** A 64-bit field, signed; exact to 2^53. */
  i64(offset: number): number {
    const at = (IN_HEADER + offset) >> 2;
    return this.#words[at]! + (this.#words[at + 1]! | 0) * TWO_32;
  }

  /** A file offset or size. EFBIG beyond 2^53, where a double would name another byte. */
  offset(at: number): number {
    const value = this.u64(at);
    if (value > Number.MAX_SAFE_INTEGER) fail(EFBIG, 'offset');
    return value;
  }

  fh(offset: number): Fh {
    return this.u64(offset) as Fh;
  }

  nodeAt(offset: number): NodeId {
    return this.u64(offset) as NodeId;
  }

  /** A NUL-terminated text at `offset`, not empty, as latin1: a symlink target or an xattr name. */
  text(offset: number): string {
    const { bytes, end } = this;
    const start = IN_HEADER + offset;
    let at = start;
    while (at < end && bytes[at] !== NUL) at++;
    if (at >= end || at === start) throw new Malformed('text without an end, or empty');
    return bytes.latin1Slice(start, at);
  }

  /**
   * A name at `offset`: one path component. The kernel never sends "", ".", ".." or a slash; if these were let through, a
   * name could reach a directory other than the one asked for.
   */
  name(offset: number): string {
    const { bytes, end } = this;
    const start = IN_HEADER + offset;
    let at = start;
    for (; at < end; at++) {
      const byte = bytes[at];
      if (byte === NUL) break;
      if (byte === SLASH) throw new Malformed('a slash in a name');
    }
    if (at >= end || at === start) throw new Malformed('name without an end, or empty');
    if (bytes[start] === DOT && (at - start === 1 || (at - start === 2 && bytes[start + 1] === DOT))) {
      throw new Malformed('a name of dots');
    }
    return bytes.latin1Slice(start, at);
  }

  /** `size` bytes at `offset`, not copied. */
  slice(offset: number, size: number): Uint8Array {
    const start = IN_HEADER + offset;
    if (size > this.end - start) throw new Malformed(`${size} bytes of data announced`);
    return this.bytes.subarray(start, start + size);
  }

  #adopt(buffer: Buffer, length: number): void {
    let bytes = buffer;
    if (buffer.byteOffset % 4 !== 0) {
      // Only callers outside the session pass such a buffer: work on a copy.
      if (this.#aligned === null || this.#aligned.length < length) this.#aligned = Buffer.alloc(length);
      buffer.copy(this.#aligned, 0, 0, length);
      bytes = this.#aligned;
    }
    this.bytes = bytes;
    this.data = bytes.subarray(Math.min(WRITE_DATA, bytes.length));
    this.#words = new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.length >> 2);
  }
}
