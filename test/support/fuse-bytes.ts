/** Bytes of FUSE requests and replies, written field by field. */
import assert from 'node:assert/strict';
import { Server, type ServerOptions } from '../../src/fuse/server.js';
import type { FileSystem } from '../../src/vfs/filesystem.js';
import type { Log } from '../../src/vfs/log.js';

/** Integers of a given width, little-endian. */
export function u16(value: number): Buffer {
  const b = Buffer.alloc(2);
  b.writeUInt16LE(value);
  return b;
}

export function u32(value: number): Buffer {
  const b = Buffer.alloc(4);
  b.writeUInt32LE(value >>> 0);
  return b;
}

export function u64(value: number | bigint): Buffer {
  const b = Buffer.alloc(8);
  b.writeBigUInt64LE(BigInt.asUintN(64, BigInt(value)));
  return b;
}

/** A name with its NUL. */
export function str(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'latin1');
}

export function bytes(...parts: readonly (Buffer | Uint8Array)[]): Buffer {
  return Buffer.concat(parts);
}

/** Fields of struct fuse_in_header that a test may want to set. */
export interface Head {
  readonly opcode: number;
  readonly unique?: number | bigint;
  readonly nodeid?: number | bigint;
  readonly uid?: number;
  readonly gid?: number;
  readonly pid?: number;
  /** Units of 8 bytes. */
  readonly extlen?: number;
}

/** A whole request: header (40 bytes) and arguments. */
export function request(head: Head, ...parts: readonly (Buffer | Uint8Array)[]): Buffer {
  const body = Buffer.concat(parts);
  return bytes(
    u32(40 + body.length), // len
    u32(head.opcode), // opcode
    u64(head.unique ?? 2), // unique
    u64(head.nodeid ?? 1), // nodeid
    u32(head.uid ?? 0), // uid
    u32(head.gid ?? 0), // gid
    u32(head.pid ?? 4711), // pid
    u16(head.extlen ?? 0), // total_extlen
    u16(0), // padding
    body,
  );
}

/** A whole reply: header (16 bytes) and body. */
export function reply(error: number, ...parts: readonly (Buffer | Uint8Array)[]): Buffer {
  const body = Buffer.concat(parts);
  return bytes(
    u32(16 + body.length), // len
    u32(error), // error: 0 or -errno
    u64(2), // unique
    body,
  );
}

/** A log that keeps its messages. */
export class MemoryLog implements Log {
  readonly lines: { level: string; fields: Record<string, unknown>; text: string }[] = [];

  debug(fields: object, text: string): void {
    this.#keep('debug', fields, text);
  }

  info(fields: object, text: string): void {
    this.#keep('info', fields, text);
  }

  warn(fields: object, text: string): void {
    this.#keep('warn', fields, text);
  }

  error(fields: object, text: string): void {
    this.#keep('error', fields, text);
  }

  at(level: string): { fields: Record<string, unknown>; text: string }[] {
    return this.lines.filter((line) => line.level === level);
  }

  #keep(level: string, fields: object, text: string): void {
    this.lines.push({ level, fields: fields as Record<string, unknown>, text });
  }
}

/** Flags that Linux 6.18 offers in INIT: low word, high word. */
export const OFFER = 0x73fffffb;
const OFFER2 = 0x000005fd;

/** INIT as a kernel of this minor version sends it. */
export function initRequest(minor: number, flags = OFFER, flags2 = OFFER2): Buffer {
  const old = bytes(u32(7), u32(minor), u32(131072), u32(flags));
  return minor < 36
    ? request({ opcode: 26, nodeid: 0 }, old)
    : request({ opcode: 26, nodeid: 0 }, old, u32(flags2), Buffer.alloc(44));
}

/** A server over `fs` for tests, with helpers that speak bytes. */
export class Fixture {
  readonly log = new MemoryLog();
  readonly server: Server;

  constructor(fs: FileSystem, options: Partial<ServerOptions> = {}) {
    this.server = new Server(fs, { log: this.log, dataMode: 'cached', ...options });
  }

  /** Negotiates as with Linux 6.18. */
  init(): this {
    this.send(initRequest(45));
    return this;
  }

  /** Sends one request. Returns the reply's bytes; empty when there is none. */
  send(bytes: Buffer): Buffer {
    const length = this.server.handle(bytes, bytes.length);
    assert.ok(length >= 0, 'parked');
    return Buffer.from(this.server.reply.subarray(0, length));
  }

  /** Body of a successful reply. */
  ok(bytes: Buffer): Buffer {
    const answer = this.send(bytes);
    assert.equal(answer.readInt32LE(4), 0, 'error in the reply');
    return answer.subarray(16);
  }

  /** Errno (positive) of a reply, 0 for success. */
  errno(bytes: Buffer): number {
    return Math.abs(this.send(bytes).readInt32LE(4));
  }
}

/** Compares bytes and says at which offset they differ first. */
export function sameBytes(actual: Buffer, expected: Buffer): void {
  const limit = Math.min(actual.length, expected.length);
  let at = 0;
  while (at < limit && actual[at] === expected[at]) at++;
  if (at === actual.length && at === expected.length) return;
  const around = (b: Buffer): string => b.subarray(at & ~7, (at & ~7) + 16).toString('hex');
  assert.fail(
    `bytes differ at ${at}: got ${around(actual)} (${actual.length} in all), want ${around(expected)} (${expected.length})`,
  );
}
