/** st_ino: unique over layers, and the same before and after copy-up. */
import type { Layer } from './config.js';

/** Receives an inode number as signed 32-bit halves. */
export interface InoPair {
  inoLo: number;
  inoHi: number;
}

/**
 * Maps real inode numbers to ours, as the kernel's ovl_map_dev_ino() with xino: on one filesystem they are the real
 * ones; on several, the filesystem's number goes into the high bits (`fsid << (64 - bits)`), which keeps numbers
 * persistent over remounts. A FUSE mount has one st_dev, so this is done with xino=off too; a real number that uses
 * those bits already is shown as it is, and may then collide (the kernel gives up on xino there as well).
 */
export class InoMap {
  readonly #bits: number;

  /** `bits`: high bits free for the fsid; <= 0 when all layers are on one filesystem. */
  constructor(bits: number) {
    this.#bits = bits;
  }

  /** Stores our number for the real number `lo`, `hi` on `layer` in `out`. */
  map(layer: Layer, lo: number, hi: number, out: InoPair): void {
    out.inoLo = lo;
    out.inoHi = hi;
    if (this.#bits <= 0 || layer.fsid === 0) return;
    if (hi >>> (32 - this.#bits) !== 0) return;
    out.inoHi = hi | (layer.fsid << (32 - this.#bits));
  }
}
