/** The reply under construction, in one reusable buffer. */
import { STATX_BASIC_STATS, STATX_BTIME, TWO_32 } from '../sys/consts.js';
import { encodeDev } from '../sys/device-number.js';
import type { Attr, Entry, FsStat, NodeId } from '../vfs/types.js';
import {
  ATTR_HEAD,
  ATTR_OUT,
  ENTRY_HEAD,
  ENTRY_OUT,
  OPEN_OUT,
  OUT_HEADER,
  STATFS_OUT,
  STATX_HEAD,
  STATX_OUT,
  WRITE_OUT,
} from './abi.js';

/** Seconds (with fraction) for which the kernel may trust an answer, split as the ABI wants it. */
export class Ttl {
  readonly sec: number;
  readonly nsec: number;

  constructor(seconds: number) {
    // 2^31 - 1 seconds is "for ever": the kernel clamps it to its longest timeout.
    const whole = Math.min(Math.max(seconds, 0), 0x7fffffff);
    this.sec = Math.floor(whole);
    this.nsec = Math.floor((whole - this.sec) * 1e9);
  }
}

const NEVER = new Ttl(0);

/** How long answers are valid. */
export interface Validity {
  readonly entry: Ttl;
  readonly attr: Ttl;
  readonly negative: Ttl;
}

/**
 * Writes reply structures. Offsets count from the end of the reply header. A writer that returns a number returns the size
 * of the reply's body in bytes.
 */
export class Reply {
  readonly bytes: Buffer;
  /** What follows the header: READ and the like fill it directly. */
  readonly body: Buffer;
  readonly validity: Validity;
  readonly #words: Uint32Array;

  /** `capacity`: the largest body. */
  constructor(capacity: number, validity: Validity) {
    this.bytes = Buffer.from(new ArrayBuffer(OUT_HEADER + capacity));
    this.body = this.bytes.subarray(OUT_HEADER);
    this.validity = validity;
    this.#words = new Uint32Array(this.bytes.buffer, 0, this.bytes.length >> 2);
  }

  /** The header: total `length`; `error`, 0 or -errno; the request's number in two halves. */
  header(length: number, error: number, uniqueLo: number, uniqueHi: number): void {
    const u32 = this.#words;
    u32[0] = length;
    u32[1] = error;
    u32[2] = uniqueLo;
    u32[3] = uniqueHi;
  }

  u32(offset: number, value: number): void {
    this.#words[(OUT_HEADER + offset) >> 2] = value;
  }

  /** A 64-bit field from a double; negative numbers in two's complement. */
  u64(offset: number, value: number): void {
    const at = (OUT_HEADER + offset) >> 2;
    this.#words[at] = value;
    this.#words[at + 1] = value >>> 0 === value ? 0 : Math.floor(value / TWO_32);
  }

  /** A 64-bit field from two halves. */
  halves(offset: number, lo: number, hi: number): void {
    const at = (OUT_HEADER + offset) >> 2;
    this.#words[at] = lo;
    this.#words[at + 1] = hi;
  }

  zero(offset: number, size: number): void {
    const at = (OUT_HEADER + offset) >> 2;
    this.#words.fill(0, at, at + (size >> 2));
  }

  /** struct fuse_attr. */
  attr(offset: number, a: Attr): void {
    const u32 = this.#words;
    const at = (OUT_HEADER + offset) >> 2;
    u32[at] = a.inoLo;
    u32[at + 1] = a.inoHi;
    this.u64(offset + 8, a.size);
    this.u64(offset + 16, a.blocks);
    this.u64(offset + 24, a.atime);
    this.u64(offset + 32, a.mtime);
    this.u64(offset + 40, a.ctime);
    u32[at + 12] = a.atimeNsec;
    u32[at + 13] = a.mtimeNsec;
    u32[at + 14] = a.ctimeNsec;
    u32[at + 15] = a.mode;
    u32[at + 16] = a.nlink;
    u32[at + 17] = a.uid;
    u32[at + 18] = a.gid;
    u32[at + 19] = encodeDev(a.rdevMajor, a.rdevMinor);
    u32[at + 20] = a.blksize;
    u32[at + 21] = 0;
  }

  /** struct fuse_attr_out. */
  attrOut(a: Attr): number {
    const { attr } = this.validity;
    this.u64(0, attr.sec);
    this.u32(8, attr.nsec);
    this.u32(12, 0);
    this.attr(ATTR_HEAD, a);
    return ATTR_OUT;
  }

  /** struct fuse_entry_out at `offset`. */
  entryAt(offset: number, entry: Entry): void {
    const { attr } = this.validity;
    const name = entry.keepName ? this.validity.entry : NEVER;
    this.u64(offset, entry.node);
    // generation: a nodeid is never used again
    this.halves(offset + 8, 0, 0);
    this.halves(offset + 16, name.sec, 0);
    this.halves(offset + 24, attr.sec, 0);
    this.halves(offset + 32, name.nsec, attr.nsec);
    this.attr(offset + ENTRY_HEAD, entry.attr);
  }

  entryOut(entry: Entry): number {
    this.entryAt(0, entry);
    return ENTRY_OUT;
  }

  /** A negative entry: nodeid 0 and how long the name stays absent. */
  negativeOut(): number {
    const { negative } = this.validity;
    this.zero(0, ENTRY_OUT);
    this.halves(16, negative.sec, 0);
    this.u32(32, negative.nsec);
    return ENTRY_OUT;
  }

  /** struct fuse_open_out at `offset`. Returns where it ends. */
  openOut(offset: number, fh: number, flags: number, backingId: number): number {
    this.u64(offset, fh);
    this.halves(offset + 8, flags, backingId);
    return offset + OPEN_OUT;
  }

  /** struct fuse_write_out or fuse_getxattr_out: a size. */
  sizeOut(size: number): number {
    this.halves(0, size, 0);
    return WRITE_OUT;
  }

  /** One 64-bit number: lseek_out, copy_file_range_out. */
  numberOut(value: number): number {
    this.u64(0, value);
    return 8;
  }

  statfsOut(st: FsStat): number {
    this.zero(0, STATFS_OUT);
    this.u64(0, st.blocks);
    this.u64(8, st.bfree);
    this.u64(16, st.bavail);
    this.u64(24, st.files);
    this.u64(32, st.ffree);
    this.halves(40, st.bsize, st.namelen);
    this.u32(48, st.frsize);
    return STATFS_OUT;
  }

  /** struct fuse_statx_out: an attr_out with the birth time. */
  statxOut(a: Attr): number {
    const { attr } = this.validity;
    this.zero(0, STATX_OUT);
    this.u64(0, attr.sec);
    this.u32(8, attr.nsec);
    const at = STATX_HEAD;
    this.halves(at, a.hasBtime ? STATX_BASIC_STATS | STATX_BTIME : STATX_BASIC_STATS, a.blksize);
    this.halves(at + 16, a.nlink, a.uid);
    this.halves(at + 24, a.gid, a.mode & 0xffff);
    this.halves(at + 32, a.inoLo, a.inoHi);
    this.u64(at + 40, a.size);
    this.u64(at + 48, a.blocks);
    this.#statxTime(at + 64, a.atime, a.atimeNsec);
    if (a.hasBtime) this.#statxTime(at + 80, a.btime, a.btimeNsec);
    this.#statxTime(at + 96, a.ctime, a.ctimeNsec);
    this.#statxTime(at + 112, a.mtime, a.mtimeNsec);
    this.halves(at + 128, a.rdevMajor, a.rdevMinor);
    return STATX_OUT;
  }

  /** Stores latin1 text; returns its length. */
  text(offset: number, text: string): number {
    return this.body.latin1Write(text, offset, text.length);
  }

  /** The nodeid stored at `offset`. */
  nodeAt(offset: number): NodeId {
    const at = (OUT_HEADER + offset) >> 2;
    return (this.#words[at]! + this.#words[at + 1]! * TWO_32) as NodeId;
  }

  /** The 32-bit number stored at `offset`. */
  u32At(offset: number): number {
    return this.#words[(OUT_HEADER + offset) >> 2]!;
  }

  #statxTime(offset: number, sec: number, nsec: number): void {
    this.u64(offset, sec);
    this.u32(offset + 8, nsec);
  }
}
