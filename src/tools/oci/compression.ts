/** Compressed streams of layers. */
import { createHash, type Hash } from 'node:crypto';
import { Transform, type TransformCallback } from 'node:stream';
import * as zlib from 'node:zlib';
import { Decompress } from 'fzstd';
import { UserError } from '../../overlay/user-error.js';
import { ZstdProgram } from './zstd-program.js';

/** How a layer is compressed. */
export type Compression = 'none' | 'gzip' | 'zstd';

/** zlib of Node 22.15 and later has zstd. */
const withZstd = zlib as {
  createZstdCompress?: () => Transform;
  createZstdDecompress?: () => Transform;
  zstdDecompressSync?: (data: Buffer) => Buffer;
};

/** A stream that compresses; null where nothing is to be done. */
export function compressor(kind: Compression): Transform | null {
  if (kind === 'none') return null;
  if (kind === 'gzip') return zlib.createGzip({ level: 6 });
  return withZstd.createZstdCompress?.() ?? new ZstdProgram();
}

/** A zstd frame that holds the letter a. */
const FRAME = '28b52ffd200109000061';

/** Whether zlib reads all frames of a stream, as zstd:chunked has several. Node 22 and 24 end after the first one, without an error. */
function zlibReadsAllFrames(): boolean {
  return withZstd.zstdDecompressSync?.(Buffer.from(FRAME + FRAME, 'hex')).length === 2;
}

/** zstd in JavaScript, for a Node.js whose zlib can't read it all. */
class ZstdDecompress extends Transform {
  readonly #inner = new Decompress((chunk) => void this.push(chunk));

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.#run(chunk, false, done);
  }

  override _flush(done: TransformCallback): void {
    this.#run(new Uint8Array(0), true, done);
  }

  #run(chunk: Uint8Array, isLast: boolean, done: TransformCallback): void {
    try {
      this.#inner.push(chunk, isLast);
      done();
    } catch (error) {
      done(error instanceof Error ? error : new Error(String(error)));
    }
  }
}

const MAGIC: readonly (readonly [string, Compression | string])[] = [
  ['1f8b', 'gzip'],
  ['28b52ffd', 'zstd'],
  ['fd377a585a00', 'xz'],
  ['425a68', 'bzip2'],
];

/** How data that starts so is compressed. Throws a UserError for what can't be read. */
export function compressionOf(start: Buffer): Compression {
  const found =
    MAGIC.find(([magic]) => start.subarray(0, magic.length / 2).toString('hex') === magic)?.[1] ?? 'none';
  if (found === 'xz' || found === 'bzip2') throw new UserError(`${found} is not supported; unpack it first.`);
  return found as Compression;
}

/** A stream that decompresses; null where nothing is to be done. */
export function decompressor(kind: Compression): Transform | null {
  if (kind === 'none') return null;
  if (kind === 'gzip') return zlib.createGunzip();
  return (zlibReadsAllFrames() ? withZstd.createZstdDecompress?.() : null) ?? new ZstdDecompress();
}

/** Passes bytes on and takes their digest. */
export class Digester extends Transform {
  readonly #hash: Hash = createHash('sha256');
  readonly #limit: number;
  bytes = 0;

  /** More than `limit` bytes are an error. */
  constructor(limit = Number.POSITIVE_INFINITY) {
    super();
    this.#limit = limit;
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    this.bytes += chunk.length;
    if (this.bytes > this.#limit) {
      done(
        new UserError(
          `the archive unpacks to more than ${this.#limit} bytes; raise --max-size if that is right.`,
        ),
      );
      return;
    }
    this.#hash.update(chunk);
    done(null, chunk);
  }

  /** `sha256:...` of everything that went through; once, at the end. */
  digest(): string {
    return `sha256:${this.#hash.digest('hex')}`;
  }
}
