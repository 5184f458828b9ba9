/**
 * Writes the tar of a layer: the same layer gives the same bytes, on any machine and at any time. Header blocks are
 * made here since tar libraries take names and pax values for UTF-8: a layer's names and xattrs are bytes.
 */
import { PassThrough } from 'node:stream';
import { UserError } from '../../overlay/user-error.js';
import * as sys from '../../sys/index.js';
import { quoted } from '../text.js';
import { encodePax, paxTime } from './pax.js';

/** Everything about an object but its data. Text is latin1. */
export interface TarObject {
  readonly path: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly mtime: sys.Timespec;
  readonly size: number;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
  readonly xattrs: ReadonlyMap<string, Buffer>;
  /** Target of a symlink, or of a hard link. */
  readonly linkname: string | null;
}

/** Type flags of ustar headers. */
const TYPES: Readonly<Record<number, string>> = {
  [sys.S_IFREG]: '0',
  [sys.S_IFLNK]: '2',
  [sys.S_IFCHR]: '3',
  [sys.S_IFBLK]: '4',
  [sys.S_IFDIR]: '5',
  [sys.S_IFIFO]: '6',
};
const HARD_LINK = '1';
const PAX = 'x';
const BLOCK = 512;

/** Largest id that fits a header, and largest time. */
const MAX_ID = 0o7777777;
const MAX_TIME = 0o77777777777;
const MAX_SIZE = 0o77777777777;
const CHUNK = 256 * 1024;

/** Whether a name fits a header verbatim. */
function isPlain(name: string, limit: number): boolean {
  return name.length <= limit && /^[\x20-\x7e]*$/.test(name);
}

/** A stand-in for a name that only a pax record can hold. */
function standIn(name: string): string {
  return name.replace(/[^\x21-\x7e]/g, '_').slice(-100);
}

function recordsOf(object: TarObject): Map<string, string> {
  const { path, linkname, uid, gid, mtime, size } = object;
  const records = new Map<string, string>();
  if (!isPlain(path, 100)) records.set('path', path);
  if (linkname !== null && !isPlain(linkname, 100)) records.set('linkpath', linkname);
  if (size > MAX_SIZE) records.set('size', String(size));
  if (uid > MAX_ID) records.set('uid', String(uid));
  if (gid > MAX_ID) records.set('gid', String(gid));
  if (mtime.nsec !== 0 || mtime.sec < 0 || mtime.sec > MAX_TIME)
    records.set('mtime', paxTime(mtime.sec, mtime.nsec));
  for (const [name, value] of object.xattrs) records.set(`SCHILY.xattr.${name}`, value.latin1Slice());
  return records;
}

/** Where the data of a file comes from. */
export interface DataSource {
  readonly fd: number;
  readonly path: string;
}

/** The fields of a header block, all of which fit. */
interface Header {
  readonly name: string;
  readonly type: string;
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly time: number;
  readonly linkname: string;
  readonly rdevMajor: number;
  readonly rdevMinor: number;
}

/** A ustar header block (POSIX.1-1988). */
function headerBlock(header: Header): Buffer {
  const block = Buffer.alloc(BLOCK);
  const octal = (value: number, at: number, width: number): void => {
    block.latin1Write(`${value.toString(8).padStart(width - 1, '0')}\0`, at, width);
  };
  block.latin1Write(header.name, 0, 100);
  octal(header.mode, 100, 8);
  octal(header.uid, 108, 8);
  octal(header.gid, 116, 8);
  octal(header.size, 124, 12);
  octal(header.time, 136, 12);
  block.fill(' ', 148, 156);
  block.latin1Write(header.type, 156, 1);
  block.latin1Write(header.linkname, 157, 100);
  block.latin1Write('ustar\x0000', 257, 8);
  octal(header.rdevMajor, 329, 8);
  octal(header.rdevMinor, 337, 8);
  const sum = block.reduce((total, byte) => total + byte, 0);
  block.latin1Write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 8);
  return block;
}

/** Writes objects into a tar, in the order given. */
export class TarWriter {
  /** The tar as a stream of bytes. */
  readonly stream = new PassThrough({ highWaterMark: 1 << 20 });
  entries = 0;

  /** Adds one object. `data`: its bytes, for a file that is not empty. `isLink`: another name of `linkname`. */
  async add(object: TarObject, data: DataSource | null, isLink = false): Promise<void> {
    const records = recordsOf(object);
    if (records.size > 0) await this.#pax(encodePax(records));
    const { path, linkname, mtime, uid, gid } = object;
    const size = data === null ? 0 : object.size;
    this.entries++;
    await this.#push(
      headerBlock({
        name: isPlain(path, 100) ? path : standIn(path),
        type: isLink ? HARD_LINK : TYPES[object.mode & sys.S_IFMT]!,
        mode: object.mode & 0o7777,
        uid: uid > MAX_ID ? 0 : uid,
        gid: gid > MAX_ID ? 0 : gid,
        size: size > MAX_SIZE ? 0 : size,
        time: Math.min(Math.max(mtime.sec, 0), MAX_TIME),
        linkname: linkname === null || isPlain(linkname, 100) ? (linkname ?? '') : standIn(linkname),
        rdevMajor: object.rdevMajor,
        rdevMinor: object.rdevMinor,
      }),
    );
    if (data === null) return;
    for (const chunk of readData(data, size)) await this.#push(chunk);
    await this.#pad(size);
  }

  async #pax(records: Buffer): Promise<void> {
    const nothing = { uid: 0, gid: 0, time: 0, linkname: '', rdevMajor: 0, rdevMinor: 0 };
    const header = { name: 'PaxHeaders/0', type: PAX, mode: 0o644, size: records.length, ...nothing };
    await this.#push(headerBlock(header));
    await this.#push(records);
    await this.#pad(records.length);
  }

  async #pad(size: number): Promise<void> {
    const over = size % BLOCK;
    if (over > 0) await this.#push(Buffer.alloc(BLOCK - over));
  }

  async #push(bytes: Buffer): Promise<void> {
    if (this.stream.write(bytes)) return;
    await new Promise<void>((resolve, reject) => {
      const drained = (): void => {
        this.stream.off('close', closed);
        resolve();
      };
      const closed = (): void => {
        this.stream.off('drain', drained);
        reject(new Error('the reader of the tar is gone'));
      };
      this.stream.once('drain', drained);
      this.stream.once('close', closed);
    });
  }

  /** The end of the archive: two empty blocks. */
  async finish(): Promise<void> {
    await this.#push(Buffer.alloc(2 * BLOCK));
    this.stream.end();
  }
}

/** Bytes of a file; its holes are not read. */
function* readData({ fd, path }: DataSource, size: number): Generator<Buffer> {
  for (let at = 0; at < size; ) {
    const next = sys.lseek(fd, at, sys.SEEK_DATA);
    const hole = (next === -sys.ENXIO ? size : next < 0 ? at : Math.min(next, size)) - at;
    const chunk =
      hole > 0 ? Buffer.alloc(Math.min(hole, CHUNK)) : Buffer.allocUnsafe(Math.min(CHUNK, size - at));
    const got = hole > 0 ? chunk.length : sys.preadAll(fd, chunk, at);
    if (got < chunk.length) {
      const why = got < 0 ? `the system says ${sys.errnoName(got)}` : 'it shrank';
      throw new UserError(`'${quoted(path)}' can't be read whole: ${why}.`);
    }
    yield chunk;
    at += chunk.length;
  }
}
