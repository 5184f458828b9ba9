/**
 * Reads tars with `tar-stream`, in a way that keeps bytes: names and pax values as latin1, where the library would take
 * pax values for UTF-8 (an xattr's value is binary, and so is a name that is not UTF-8).
 */
import type { Readable, Writable } from 'node:stream';
import { extract } from 'tar-stream';
import { UserError } from '../../overlay/user-error.js';
import { OldSparse } from './old-sparse.js';
import { decodePax } from './pax.js';

/** Private parts of the library that are replaced here; checked at start, and the package is pinned. */
interface Internals {
  _decodeLongHeader(data: Buffer): void;
  /** Takes a header from the buffer; false: go on later. Only called when a block is there. */
  _consumeHeader(): boolean;
  _continueWrite(error: Error): void;
  readonly _buffer: { shift(size: number): Buffer };
  readonly _locked: boolean;
  _header: { readonly type: string | null };
  _pax: Record<string, string> | null;
  _paxGlobal: Record<string, string> | null;
}

/** Writable, with the archive; iterable, with its entries, each of which must be read or resumed. */
export type Entries = Writable & AsyncIterable<Readable & { readonly header: TarHeader }>;

/** An extractor whose entries have latin1 names and pax records. */
export function latin1Extract(): Entries {
  const options = { filenameEncoding: 'latin1', allowUnknownFormat: true };
  // The types of the package lag behind it.
  const stream = extract(options as never) as unknown as Entries;
  const inside = stream as unknown as Internals;
  const original = inside._decodeLongHeader;
  if (typeof original !== 'function' || typeof inside._consumeHeader !== 'function')
    throw new Error('tar-stream is not the version that this was made for');
  inside._decodeLongHeader = (data: Buffer): void => {
    const { type } = inside._header;
    if (type === 'pax-global-header') inside._paxGlobal = decodePax(data);
    else if (type === 'pax-header') inside._pax = { ...inside._paxGlobal, ...decodePax(data) };
    else original.call(stream, data);
  };
  readOldSparse(inside);
  return stream;
}

const SIZE_AT = 124;
const SIZE_END = 136;
/** First byte of a number that is binary, and not negative. */
const BINARY = 0x80;

/** Whether a header's size is a number; otherwise the library would wait for ever. */
function hasSize(block: Buffer): boolean {
  if ((block[SIZE_AT]! & BINARY) !== 0) return block[SIZE_AT] === BINARY;
  const text = block
    .latin1Slice(SIZE_AT, SIZE_END)
    .replace(/^ +/, '')
    .replace(/[ \0][\s\S]*$/, '');
  return text === '' || Number.parseInt(text, 8) >= 0;
}

/** Makes the extractor take the old form of sparse files for the pax form: see old-sparse.ts. */
function readOldSparse(inside: Internals): void {
  const consume = inside._consumeHeader.bind(inside);
  const shift = inside._buffer.shift.bind(inside._buffer);
  let entry: OldSparse | null = null;
  let held: Buffer | null = null;
  inside._buffer.shift = (size) => {
    const block = held ?? shift(size);
    held = null;
    return block;
  };
  inside._consumeHeader = (): boolean => {
    if (inside._locked) return false;
    const block = shift(512);
    try {
      if (entry !== null) entry.extend(block);
      else if (!hasSize(block)) throw new Error('invalid tar header: a size is no number');
      else if (OldSparse.is(block)) entry = new OldSparse(block);
    } catch (error) {
      inside._continueWrite(error as Error);
      return false;
    }
    if (entry?.extended === true) return true;
    if (entry !== null) inside._pax = { ...(inside._pax ?? inside._paxGlobal), ...entry.pax };
    held = entry?.header ?? block;
    entry = null;
    return consume();
  };
}

/** A header as the library reads it. */
export interface TarHeader {
  readonly name: string;
  /** null: of a type that it does not know. */
  readonly type: string | null;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: Date;
  readonly linkname: string | null;
  readonly devmajor: number;
  readonly devminor: number;
  /** Where the entry's data starts in the tar. */
  readonly byteOffset: number;
  readonly pax: Record<string, string> | null;
}

/** The components of a name in an archive. Throws a UserError for one that leads out of the target directory. */
export function safeComponents(name: string): string[] {
  const components = name.split('/').filter((part) => part !== '' && part !== '.');
  if (components.includes('..') || name.includes('\0')) {
    throw new UserError(
      `the archive is refused: the name '${name.replace(/[^\x20-\x7e]/g, '?')}' leads out of its directory.`,
    );
  }
  return components;
}

/** A run of a sparse file's data. */
export interface SparseRun {
  readonly offset: number;
  readonly size: number;
}

/** What a header says of a sparse file (GNU, in pax form). */
export interface SparseInfo {
  readonly name: string | null;
  readonly size: number;
  /** null: the map is at the start of the data. */
  readonly map: readonly SparseRun[] | null;
}

function number(text: string | undefined): number {
  const value = Number(text);
  if (text === undefined || !/^\d+$/.test(text) || !Number.isSafeInteger(value)) {
    throw new UserError('the archive is refused: a sparse file has a malformed map.');
  }
  return value;
}

/** Pairs of numbers as runs, in order and within the file. */
export function sparseRuns(numbers: readonly string[], size: number): SparseRun[] {
  const runs: SparseRun[] = [];
  let end = 0;
  if (numbers.length % 2 !== 0) number(undefined);
  for (let i = 0; i < numbers.length; i += 2) {
    const run = { offset: number(numbers[i]), size: number(numbers[i + 1]) };
    if (run.offset < end || run.offset + run.size > size) number(undefined);
    end = run.offset + run.size;
    runs.push(run);
  }
  return runs;
}

/** Reads the pax records of a sparse file; null when it is none. */
export function sparseInfo(pax: Record<string, string> | null | undefined): SparseInfo | null {
  if (!pax) return null;
  const size = pax['GNU.sparse.realsize'] ?? pax['GNU.sparse.size'];
  if (size === undefined) return null;
  const real = number(size);
  const map = pax['GNU.sparse.map'];
  const numbers = map === '' ? [] : map?.split(',');
  const runs = numbers === undefined ? null : sparseRuns(numbers, real);
  return { name: pax['GNU.sparse.name'] ?? null, size: real, map: runs };
}
