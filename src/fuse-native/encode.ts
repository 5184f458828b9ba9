/** Attributes in the form of fuse-native's addon (populate_stat() and populate_statvfs() in fuse-native.c). */
import { TWO_32 } from '../sys/consts.js';
import { encodeDev } from '../sys/device-number.js';
import { EOVERFLOW } from '../sys/errno.js';
import { fail } from '../vfs/errors.js';
import type { Attr, FsStat } from '../vfs/types.js';

const MAX_32 = TWO_32 - 1;

/** The first substitute number; real inode numbers below it pass unchanged. */
const FIRST_SUBSTITUTE = 0xf0000000;

/** 32-bit inode numbers. No two files ever share one, since cp, tar and rm take files with the same number for one file. */
export class Ino32 {
  /** Substitutes by the halves of the real number; kept as long as the mount, since callers may remember them. */
  readonly #substitutes = new Map<string, number>();
  #next = FIRST_SUBSTITUTE;

  map(lo: number, hi: number): number {
    const low = lo >>> 0;
    if (hi === 0 && low < FIRST_SUBSTITUTE) return low;
    const key = `${hi}:${low}`;
    let number = this.#substitutes.get(key);
    if (number === undefined) {
      if (this.#next > MAX_32) fail(EOVERFLOW, 'inode number');
      number = this.#next++;
      this.#substitutes.set(key, number);
    }
    return number;
  }
}

const STAT_WORDS = 18;

function put64(out: Uint32Array, at: number, value: number): void {
  out[at] = value % TWO_32;
  out[at + 1] = Math.floor(value / TWO_32);
}

/** Milliseconds, unsigned: a time before 1970 becomes 1970. */
function putTime(out: Uint32Array, at: number, sec: number, nsec: number): void {
  put64(out, at, Math.max(0, sec * 1000 + Math.floor(nsec / 1_000_000)));
}

/** Attributes as the addon copies them into a struct stat. */
export function statWords(attr: Attr, ino: Ino32): Uint32Array {
  const out = new Uint32Array(STAT_WORDS);
  out[0] = attr.mode;
  out[1] = attr.uid;
  out[2] = attr.gid;
  put64(out, 3, attr.size);
  out[6] = attr.nlink;
  out[7] = ino.map(attr.inoLo, attr.inoHi);
  out[8] = encodeDev(attr.rdevMajor, attr.rdevMinor);
  out[9] = attr.blksize;
  put64(out, 10, attr.blocks);
  putTime(out, 12, attr.atime, attr.atimeNsec);
  putTime(out, 14, attr.mtime, attr.mtimeNsec);
  putTime(out, 16, attr.ctime, attr.ctimeNsec);
  return out;
}

/** What a directory listing carries: the type and the number. */
export function entryWords(ino: number, dtype: number): Uint32Array {
  const out = new Uint32Array(STAT_WORDS);
  out[0] = dtype << 12;
  out[7] = ino;
  return out;
}

/** Block counts have 32 bits: larger filesystems are reported in larger blocks. */
export function statfsWords(stat: FsStat): Uint32Array {
  let { frsize } = stat;
  let scale = 1;
  while (stat.blocks / scale > MAX_32) {
    scale *= 2;
    frsize *= 2;
  }
  const blocks = (count: number): number => Math.floor(count / scale);
  const files = (count: number): number => Math.min(count, MAX_32);
  return Uint32Array.of(
    stat.bsize,
    frsize,
    blocks(stat.blocks),
    blocks(stat.bfree),
    blocks(stat.bavail),
    files(stat.files),
    files(stat.ffree),
    files(stat.ffree),
    0,
    0,
    stat.namelen,
  );
}
