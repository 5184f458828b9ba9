/** st_ino: unique over layers, and the same before and after copy-up. */
import type { Layer } from './config.js';

/** Receives an inode number as signed 32-bit halves. */
export interface InoPair {
  inoLo: number;
  inoHi: number;
}

/** High bits used for the fsid with xino=off: a FUSE mount has a single st_dev, so numbers must be kept apart regardless. */
const BITS_WITHOUT_XINO = 10;

/**
 * Maps real inode numbers to ours, like the kernel's ovl_map_dev_ino() with xino: with a single filesystem they are the real
 * ones; with several, `fsid << (64 - bits + 1)` is added, which keeps numbers persistent over remounts. A real number that
 * already uses those bits is shown unchanged, and may collide (the kernel gives up on xino there as well).
 */
export class InoMap {
  /** Place of the fsid in the high half; 32: nothing is added. */
  readonly #shift: number;

  /** `bits`: {@link OpenedLayers.xinoBits}. */
  constructor(bits: number) {
    this.#shift = bits === 0 ? 32 : 33 - (bits < 0 ? BITS_WITHOUT_XINO : bits);
  }

  /** Stores our number for the real number `lo`, `hi` on `layer` in `out`. */
  map(layer: Layer, lo: number, hi: number, out: InoPair): void {
    out.inoLo = lo;
    const fits = this.#shift < 32 && hi >>> this.#shift === 0;
    out.inoHi = fits ? hi | (layer.fsid << this.#shift) : hi;
  }
}
