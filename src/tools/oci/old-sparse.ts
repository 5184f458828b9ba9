/**
 * GNU tar's oldest form of a sparse file (type `S`): the map is in the header and, when it is long, in blocks between the
 * header and the data, which the header's size does not count. It is turned into the pax form.
 */
import { UserError } from '../../overlay/user-error.js';

/** Places in the header and in an extension block; a pair of numbers takes 24 bytes. */
const TYPE_AT = 156;
const CHECKSUM_AT = 148;
const MAP_AT = 386;
const PAIRS = 4;
const EXTENDED_AT = 482;
const REALSIZE_AT = 483;
const EXTENSION_PAIRS = 21;
const EXTENSION_EXTENDED_AT = 504;
const NUMBER = 12;

const TYPE = 0x53;
const FILE = 0x30;
/** More pairs than a real file has: 64 MiB of extension blocks. */
const MAX_PAIRS = 2_752_512;

/** A number of a header: octal text, or binary when its first bit is set. */
function numberAt(block: Buffer, at: number): number {
  if ((block[at]! & 0x80) !== 0) {
    const value = block.readBigUInt64BE(at + NUMBER - 8);
    if (value <= BigInt(Number.MAX_SAFE_INTEGER)) return Number(value);
  } else {
    const text = block
      .latin1Slice(at, at + NUMBER)
      .replace(/\0[\s\S]*$/, '')
      .trim();
    if (/^[0-7]+$/.test(text)) return Number.parseInt(text, 8);
  }
  throw new UserError('the archive is refused: a sparse file has a malformed map.');
}

/** One such entry while its map is read. */
export class OldSparse {
  /** The header, as that of a plain file. */
  readonly header: Buffer;
  /** More blocks of the map follow. */
  extended: boolean;
  readonly #size: number;
  readonly #numbers: number[] = [];

  constructor(block: Buffer) {
    this.header = Buffer.from(block);
    this.header[TYPE_AT] = FILE;
    // By the difference alone: a checksum that was wrong stays wrong.
    const checksum = Number.parseInt(block.latin1Slice(CHECKSUM_AT, CHECKSUM_AT + 7), 8) - TYPE + FILE;
    this.header.write(`${checksum.toString(8).padStart(6, '0')}\0 `, CHECKSUM_AT, 'latin1');
    this.#size = numberAt(block, REALSIZE_AT);
    this.extended = block[EXTENDED_AT] === 1;
    this.#pairs(block, MAP_AT, PAIRS);
  }

  static is(block: Buffer): boolean {
    return block[TYPE_AT] === TYPE;
  }

  /** Takes the next block of the map. */
  extend(block: Buffer): void {
    this.extended = block[EXTENSION_EXTENDED_AT] === 1;
    this.#pairs(block, 0, EXTENSION_PAIRS);
    if (this.#numbers.length > 2 * MAX_PAIRS)
      throw new UserError('the archive is refused: a sparse file has an endless map.');
  }

  #pairs(block: Buffer, start: number, count: number): void {
    for (let at = start; at < start + count * 2 * NUMBER && block[at + NUMBER] !== 0; at += 2 * NUMBER) {
      this.#numbers.push(numberAt(block, at), numberAt(block, at + NUMBER));
    }
  }

  /** The same as pax records. */
  get pax(): Record<string, string> {
    return { 'GNU.sparse.size': String(this.#size), 'GNU.sparse.map': this.#numbers.join(',') };
  }
}
