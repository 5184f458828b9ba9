/**
 * Who is reading a listing. A directory that is read is not opened for us, so a reader is known by nothing but the offset that
 * the kernel brings back: that carries its number, and with it where the listing ended when it began.
 *
 * Offsets have 31 bits, as programs of 32 bits without large files need them; 7 of these are the number. In a directory of
 * more than 16 million names they take more.
 */

const NUMBERS = 127;
const SMALL_COOKIES = 2 ** 24;
const LARGE = 2 ** 32;

/** Offset of a reader behind which the name with this cookie comes; at least 2^24. */
export function offsetOf(reader: number, cookie: number): number {
  return cookie + reader * (cookie < SMALL_COOKIES ? SMALL_COOKIES : LARGE);
}

/** The reader of an offset; 0 for one that none was given: somebody made it up, or has just begun. */
export function readerOf(offset: number): number {
  const number = Math.floor(offset / (offset < LARGE ? SMALL_COOKIES : LARGE));
  return number <= NUMBERS ? number : 0;
}

export function cookieOf(offset: number): number {
  return offset % (offset < LARGE ? SMALL_COOKIES : LARGE);
}

/** Where the readers of one listing are through. Those that begin with nothing added in between have one number. */
export class Readers {
  #last = 0;
  /** Where the last one ends, as a cookie. */
  #end = -1;
  /** The same by number, for all; made for the second. */
  #ends: number[] | null = null;

  /** A reader of a listing that ends at `end`. Returns its number, from 1 on; after 127 they come again. */
  begin(end: number): number {
    if (this.#end !== end) this.#add((this.#last % NUMBERS) + 1, end);
    return this.#last;
  }

  /** The end of a reader, for which `end` holds if it began when this was another listing, which memory was too short for. */
  endOf(reader: number, end: number): number {
    if (reader === this.#last) return this.#end;
    const known = this.#ends?.[reader];
    if (known !== undefined) return known;
    this.#add(reader, end);
    return end;
  }

  #add(reader: number, end: number): void {
    if (this.#last !== 0) this.#ends ??= [];
    if (this.#ends !== null) {
      this.#ends[this.#last] = this.#end;
      this.#ends[reader] = end;
    }
    this.#last = reader;
    this.#end = end;
  }
}
