/** Where an image's files are: a directory, or a tar with an index of what is in it. */
import { randomBytes } from 'node:crypto';
import { createReadStream, createWriteStream, mkdirSync, openSync } from 'node:fs';
import { pipeline, Readable } from 'node:stream';
import { finished } from 'node:stream/promises';
import { UserError } from '../../overlay/user-error.js';
import * as sys from '../../sys/index.js';
import { check, quoted, tried } from '../text.js';
import { type Compression, compressionOf, Digester, decompressor } from './compression.js';
import { latin1Extract, type TarHeader } from './tar-reader.js';
import { explained } from './unpack.js';

/** Documents (manifests, configs) are small; anything larger is not a document. */
const MAX_DOCUMENT = 16 << 20;
const BENEATH = sys.RESOLVE_BENEATH | sys.RESOLVE_NO_SYMLINKS | sys.RESOLVE_NO_MAGICLINKS;

/** Files by path, without a leading slash. */
export interface Blobs {
  has(path: string): boolean;
  /** The bytes of a file. Throws a UserError when it is not there. */
  open(path: string): Readable;
  [Symbol.dispose](): void;
}

async function collect(stream: Readable, what: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of stream) {
    size += (chunk as Buffer).length;
    if (size > MAX_DOCUMENT)
      throw new UserError(`the image is refused: ${what} is too large for a document.`);
    chunks.push(chunk as Buffer);
  }
  return Buffer.concat(chunks);
}

/** The bytes of a small file. */
export async function readBlob(blobs: Blobs, path: string): Promise<Buffer> {
  return await collect(blobs.open(path), path);
}

function missing(path: string): UserError {
  return new UserError(`the image is incomplete: it has no '${quoted(path)}'.`);
}

/** An image as a directory. Nothing in it is reached through a symlink. */
export class DirectoryBlobs implements Blobs {
  readonly #top: number;

  constructor(path: string) {
    this.#top = check(
      sys.openat(sys.AT_FDCWD, path, sys.O_RDONLY | sys.O_DIRECTORY | sys.O_CLOEXEC),
      'open the image',
      path,
    );
  }

  #open(path: string): number {
    return sys.openat2(this.#top, path, sys.O_RDONLY | sys.O_CLOEXEC | sys.O_NONBLOCK, BENEATH);
  }

  has(path: string): boolean {
    const fd = this.#open(path);
    if (fd >= 0) sys.close(fd);
    return fd >= 0;
  }

  open(path: string): Readable {
    const fd = this.#open(path);
    if (fd < 0) throw missing(path);
    return createReadStream('', { fd, highWaterMark: 1 << 18 });
  }

  [Symbol.dispose](): void {
    sys.close(this.#top);
  }
}

interface Member {
  readonly at: number;
  readonly size: number;
  /** Target of a link inside the archive; null for a file. */
  readonly link: string | null;
}

/** Path of a link's target, which is relative to where the link is. */
function resolveLink(from: string, target: string): string {
  const parts = target.startsWith('/') ? [] : from.split('/').slice(0, -1);
  for (const part of target.split('/')) {
    if (part === '..') parts.pop();
    else if (part !== '' && part !== '.') parts.push(part);
  }
  return parts.join('/');
}

function linkOf(path: string, { type, linkname }: TarHeader): string | null {
  if (type === 'symlink') return resolveLink(path, linkname ?? '');
  return type === 'link' ? resolveLink('', linkname ?? '') : null;
}

/** A file's bytes, decompressed. */
function unpacked(file: Buffer, kind: Compression, limit: number): Readable {
  const from = createReadStream(file, { highWaterMark: 1 << 20 });
  const inflate = decompressor(kind);
  // A stream that ends early ends all of them; the error is emitted by the last one.
  return inflate === null ? from : pipeline(from, inflate, new Digester(limit), () => {});
}

/** Whether files are an image at all. */
export function isImage(blobs: Pick<Blobs, 'has'>): boolean {
  return blobs.has('manifest.json') || (blobs.has('index.json') && blobs.has('oci-layout'));
}

const MAX_MEMBERS = 5_000_000;

/** An image as a tar: read once for an index, then by position. */
export class TarBlobs implements Blobs {
  #file: Buffer;
  readonly #members = new Map<string, Member>();
  /** Our own temporary file, removed at the end. */
  #temporary: Buffer | null = null;

  private constructor(file: Buffer) {
    this.#file = file;
  }

  /**
   * Reads the index. A compressed archive that is an image is unpacked to a file in `scratch`, since its layers are
   * read by position; more than `limit` bytes are refused.
   */
  static async open(path: string, scratch: string, limit: number): Promise<TarBlobs> {
    const file = Buffer.from(path, 'latin1');
    const blobs = new TarBlobs(file);
    try {
      const kind = compressionOf(await firstBytes(file));
      await blobs.#index(unpacked(file, kind, limit));
      if (kind !== 'none' && isImage(blobs)) await blobs.#inflate(unpacked(file, kind, limit), scratch);
    } catch (error) {
      blobs[Symbol.dispose]();
      throw explained(error);
    }
    return blobs;
  }

  async #inflate(from: Readable, scratch: string): Promise<void> {
    const path = `${scratch}/.plyfs-image-${randomBytes(6).toString('hex')}.tar`;
    tried('create', scratch, () => mkdirSync(Buffer.from(scratch, 'latin1'), { recursive: true }));
    const fd = tried('create', path, () => openSync(Buffer.from(path, 'latin1'), 'wx', 0o600));
    this.#file = Buffer.from(path, 'latin1');
    this.#temporary = this.#file;
    await finished(pipeline(from, createWriteStream('', { fd }), () => {}));
  }

  async #index(tar: Readable): Promise<void> {
    const stream = latin1Extract();
    tar.on('error', (error) => stream.destroy(error));
    tar.pipe(stream);
    try {
      for await (const entry of stream) {
        const { name, type, size, byteOffset } = entry.header;
        const path = name.replace(/^(\.?\/)+/, '');
        const link = linkOf(path, entry.header);
        if (type === 'file' || link !== null) this.#members.set(path, { at: byteOffset, size, link });
        if (this.#members.size > MAX_MEMBERS)
          throw new UserError('the archive is refused: it has too many entries.');
        entry.resume();
      }
    } finally {
      tar.destroy();
    }
  }

  #member(path: string): Member | null {
    let at = path;
    for (let depth = 0; depth < 8; depth++) {
      const member = this.#members.get(at);
      if (member === undefined) return null;
      if (member.link === null) return member;
      at = member.link;
    }
    return null;
  }

  has(path: string): boolean {
    return this.#member(path) !== null;
  }

  open(path: string): Readable {
    const member = this.#member(path);
    if (member === null) throw missing(path);
    const { at, size } = member;
    // The end of a range is a byte that is read, too.
    if (size === 0) return Readable.from([]);
    return createReadStream(this.#file, { start: at, end: at + size - 1, highWaterMark: 1 << 18 });
  }

  [Symbol.dispose](): void {
    if (this.#temporary !== null) sys.unlinkat(sys.AT_FDCWD, this.#temporary.latin1Slice());
  }
}

/** The first bytes of a file: they tell what it is. */
export async function firstBytes(path: Buffer): Promise<Buffer> {
  const chunks: Buffer[] = [];
  for await (const chunk of createReadStream(path, { start: 0, end: 15 })) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}
