/**
 * The only door to native code: libc through koffi.
 *
 * Conventions of everything in `sys/`:
 * - a function returns `>= 0` on success and `-errno` on failure; it never throws for an expected failure, has no policy and
 *   logs nothing;
 * - names and paths are latin1 strings, one char a byte, so that any byte sequence survives;
 * - a path is copied into a scratch buffer before the call: no allocation per call, and therefore not reentrant
 *   (each thread has its own copy of this module).
 */
import { createRequire } from 'node:module';
import type * as Koffi from 'koffi';
import { ENAMETOOLONG } from './errno.js';

// koffi is CommonJS; require() keeps its start-up cost to one file read.
const koffi = createRequire(import.meta.url)('koffi') as typeof Koffi.default;
const libc = koffi.load('libc.so.6');

/** A native function taking numbers and buffers; `bigint` is accepted wherever 64 bits may not fit a double. */
export type Native = (...args: readonly unknown[]) => number;

/** Declares a function of libc by its C prototype pieces, e.g. `native('int', 'close', ['int'])`. */
export function native(result: string, name: string, args: readonly string[]): Native {
  return libc.func(name, result, [...args]) as unknown as Native;
}

/** The same for functions that the Node executable exports: libuv and Node-API. */
export function nativeOfNode(result: string, name: string, args: readonly string[]): Native {
  return koffi.load(null).func(name, result, [...args]) as unknown as Native;
}

/** A function of libc that runs on a thread of libuv's pool. Resolves to its result, or -errno. */
export function nativeElsewhere(
  name: string,
  args: readonly string[],
): (...args: readonly unknown[]) => Promise<number> {
  const call = libc.func(name, 'int', [...args]);
  return (...values) =>
    new Promise((resolve) => {
      // koffi carries errno over from that thread to the callback.
      call.async(...values, (_: unknown, rc: number) => resolve(result(rc)));
    });
}

/** errno of the last native call of this thread; valid only directly after it. */
export const errno = koffi.errno as () => number;

/** Turns a C result into our convention: `rc` itself, or `-errno` when it is negative. */
export function result(rc: number): number {
  return rc < 0 ? -errno() : rc;
}

/** Address of a buffer's bytes, for structures that hold pointers. The buffer must stay referenced; V8 does not move it. */
export function addressOf(buffer: Uint8Array): bigint {
  return BigInt(koffi.address(buffer));
}

/** Bytes a path may take including its NUL (PATH_MAX). */
export const PATH_MAX = 4096;

const scratchA = Buffer.alloc(PATH_MAX + 8);
const scratchB = Buffer.alloc(PATH_MAX + 8);

/** What a call returns for a path that does not fit, for which {@link path} returns null. */
export const TOO_LONG = -ENAMETOOLONG;

function store(scratch: Buffer, text: string): Buffer | null {
  const length = text.length;
  if (length >= PATH_MAX) return null;
  scratch.latin1Write(text, 0, length);
  scratch[length] = 0;
  return scratch;
}

/** NUL-terminated copy of a latin1 path in the first scratch buffer; null when it is longer than PATH_MAX. */
export function path(text: string): Buffer | null {
  return store(scratchA, text);
}

/** The same in the second scratch buffer, for calls that take two paths. */
export function path2(text: string): Buffer | null {
  return store(scratchB, text);
}

/** syscall(2), for what glibc does not wrap; the arguments after the number have the given C types. */
export function nativeSyscall(args: readonly string[]): Native {
  return native('long', 'syscall', ['long', ...args]);
}
