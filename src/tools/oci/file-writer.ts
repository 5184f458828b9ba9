/** Writes the data of one file as it comes out of an archive; long runs of zeros become holes. */
import { UserError } from '../../overlay/user-error.js';
import * as sys from '../../sys/index.js';
import { check } from '../text.js';
import { type SparseInfo, type SparseRun, sparseRuns } from './tar-reader.js';

const PAGE = 4096;
const ZEROS = Buffer.alloc(PAGE);

function isZero(bytes: Buffer): boolean {
  for (let at = 0; at < bytes.length; at += PAGE) {
    const part = bytes.subarray(at, at + PAGE);
    if (part.compare(ZEROS, 0, part.length) !== 0) return false;
  }
  return true;
}

/** Takes the bytes of an archive's entry in any pieces. */
export class FileWriter {
  readonly #fd: number;
  readonly #path: string;
  readonly #sparse: SparseInfo | null;
  /** Where the next bytes go, and how many of them: one run for a file that is not sparse. */
  #runs: SparseRun[];
  #at = 0;
  /** The map of a sparse file while it is read. */
  #map: Buffer | null;

  constructor(fd: number, path: string, sparse: SparseInfo | null) {
    this.#fd = fd;
    this.#path = path;
    this.#sparse = sparse;
    this.#map = sparse !== null && sparse.map === null ? Buffer.alloc(0) : null;
    this.#runs = sparse === null ? [{ offset: 0, size: Number.POSITIVE_INFINITY }] : [...(sparse.map ?? [])];
  }

  write(chunk: Buffer): void {
    let rest = this.#map === null ? chunk : this.#readMap(chunk);
    while (rest.length > 0) {
      const run = this.#runs[0];
      if (run === undefined)
        throw new UserError('the archive is refused: a sparse file has more data than its map.');
      const size = Math.min(rest.length, run.size - this.#at);
      this.#put(rest.subarray(0, size), run.offset + this.#at);
      rest = rest.subarray(size);
      this.#at += size;
      if (this.#at < run.size) continue;
      this.#runs.shift();
      this.#at = 0;
    }
  }

  /** Ends the file at its size. */
  finish(size: number): void {
    if (this.#map !== null) throw new UserError('the archive is refused: a sparse file has no map.');
    if (this.#sparse !== null && this.#runs.some((run) => run.size > 0))
      throw new UserError('the archive is refused: a sparse file has less data than its map.');
    check(sys.ftruncate(this.#fd, this.#sparse?.size ?? size), 'write', this.#path);
  }

  /** The map of GNU's format 1.0: a count and pairs of decimal numbers, one a line, filled up to 512 bytes. */
  #readMap(chunk: Buffer): Buffer {
    this.#map = Buffer.concat([this.#map!, chunk]);
    if (this.#map.length > 1 << 24)
      throw new UserError('the archive is refused: a sparse file has an endless map.');
    const lines = this.#map.latin1Slice().split('\n');
    const count = Number(lines[0]);
    if (lines.length < 2 || lines.length <= 1 + 2 * count) return Buffer.alloc(0);
    if (!/^\d+$/.test(lines[0]!))
      throw new UserError('the archive is refused: a sparse file has a malformed map.');
    const used = lines.slice(0, 1 + 2 * count);
    const length = used.reduce((sum, line) => sum + line.length + 1, 0);
    const padded = Math.ceil(length / 512) * 512;
    if (this.#map.length < padded) return Buffer.alloc(0);
    this.#runs = sparseRuns(used.slice(1), this.#sparse!.size).filter((run) => run.size > 0);
    const rest = this.#map.subarray(padded);
    this.#map = null;
    return rest;
  }

  #put(bytes: Buffer, offset: number): void {
    // Page by page of the file, so that a hole is found wherever the pieces were cut.
    let start = 0;
    for (let at = 0; at < bytes.length; ) {
      const end = Math.min(bytes.length, at + PAGE - ((offset + at) % PAGE));
      if (end - at === PAGE && isZero(bytes.subarray(at, end))) {
        if (start < at) this.#write(bytes.subarray(start, at), offset + start);
        start = end;
      }
      at = end;
    }
    if (start < bytes.length) this.#write(bytes.subarray(start), offset + start);
  }

  #write(bytes: Buffer, offset: number): void {
    check(sys.pwriteAll(this.#fd, bytes, offset), 'write', this.#path);
  }
}
