/**
 * The readers of a listing. We are not told when a directory is opened, so a reader is identified only by the offset that the
 * kernel sends back: it carries the reader's number, and so tells where the listing ended when the reader began.
 *
 * Offsets have 31 bits, as 32-bit programs without large file support require; 7 of these are the number. In a directory of more
 * than 16 million names they take more.
 */

const NUMBERS = 127;
const SMALL_COOKIES = 2 ** 24;
const LARGE = 2 ** 32;

/** Offset at which a reader continues with the name of this cookie; at least 2^24. */
export function offsetOf(reader: number, cookie: number): number {
  return cookie + reader * (cookie < SMALL_COOKIES ? SMALL_COOKIES : LARGE);
}

/** The reader of an offset; 0 for the start, or for an offset that no reader got. */
export function readerOf(offset: number): number {
  const number = Math.floor(offset / (offset < LARGE ? SMALL_COOKIES : LARGE));
  return number <= NUMBERS ? number : 0;
}

export function cookieOf(offset: number): number {
  return offset % (offset < LARGE ? SMALL_COOKIES : LARGE);
}

/** Where the readers of one listing end. Readers that begin with nothing added in between share a number. */
export class Readers {
  #last = 0;
  /** The end of the latest one, as a cookie. */
  #end = -1;
  /** The ends of all, by number; allocated for the second one. */
  #ends: number[] | null = null;

  /** Registers a reader of a listing that ends at `end`. Returns its number, from 1 to 127, then 1 again. */
  begin(end: number): number {
    if (this.#end !== end) this.#add((this.#last % NUMBERS) + 1, end);
    return this.#last;
  }

  /**
   * The end of a reader; `end` for one that is not known, because it began with an earlier listing that was dropped to save
   * memory.
   */
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
