/**
 * The protocol server: bytes of a request in, bytes of a reply out, over a {@link FileSystem}. It does no I/O, knows no
 * device, and runs in a unit test.
 *
 * A request is served in three steps, all in its row of the op table (`ops-*.ts`): decode the arguments from the request
 * view, call the filesystem, encode the answer into the reply buffer. This file finds the row, and is the only place that
 * catches exceptions. `init.ts` negotiates, `notify.ts` builds messages that answer no request.
 *
 * One thread, one request at a time: the request view, the reply buffer and all argument objects are reused by the
 * next call of {@link Server.handle}.
 */
import { inspect } from 'node:util';
import { EIO } from '../sys/errno.js';
import { Deferred, FsError } from '../vfs/errors.js';
import type { FileSystem } from '../vfs/filesystem.js';
import { OUT_HEADER } from './abi.js';
import { Exchange, type OpRow } from './exchange.js';
import type { Negotiated } from './init.js';
import { rowOf, UNKNOWN } from './optable.js';
import type { ServerOptions } from './options.js';
import { Malformed } from './request.js';
import { parkedLine, replyLine, requestLine } from './trace.js';

export type { ServerOptions } from './options.js';

/** Returned by {@link Server.handle} for a request that waits for a job. */
export const PARKED = -1;

/** Replies with a larger errno are refused by the kernel. */
const MAX_ERRNO = 511;

/** Serves the requests of one connection from a {@link FileSystem}. */
export class Server {
  /** Holds the reply after {@link handle} has returned its length. The buffer's size is fixed. */
  readonly reply: Buffer;
  /** Number of the job that the last {@link PARKED} request waits for. */
  parkedOn = 0;
  readonly #x: Exchange;
  readonly #options: ServerOptions;
  readonly #clock: () => number;
  #row: OpRow = UNKNOWN;
  /** Size of the last reply's body, or -errno. */
  #result = 0;
  /** What failed last. */
  #what = '';

  constructor(fs: FileSystem, options: ServerOptions) {
    this.#x = new Exchange(fs, options);
    this.#options = options;
    this.#clock = options.clock ?? (() => performance.now());
    this.reply = this.#x.reply.bytes;
  }

  /** What INIT agreed on; `minor` is 0 before. */
  get negotiated(): Negotiated {
    return this.#x.negotiated;
  }

  /**
   * Serves the request in the first `length` bytes of `request`. Returns the length of the reply in {@link reply}, 0 when
   * the kernel expects none, or {@link PARKED}: copy the request and pass it in again when job {@link parkedOn} is done.
   * Never throws.
   */
  handle(request: Buffer, length: number): number {
    return this.#options.trace === undefined
      ? this.#serve(request, length)
      : this.#traced(request, length, this.#options.trace);
  }

  /**
   * Takes back what the last reply granted (lookup counts, handles), for a reply that could not be written because the
   * request was aborted (ENOENT). Only valid before the next {@link handle}.
   */
  undoReply(): void {
    if (this.#result < 0) return;
    this.#row.grants?.undo(this.#x);
    this.#result = -EIO;
  }

  #serve(request: Buffer, length: number): number {
    const x = this.#x;
    const r = x.request;
    let result: number;
    try {
      this.#row = UNKNOWN;
      r.attach(request, length);
      const row = rowOf(r.opcode);
      this.#row = row;
      if (r.size < row.args) throw new Malformed(`${r.size} bytes of arguments`);
      result = row.handle(x);
      // The kernel would refuse such a reply, and its caller would sleep for ever.
      if (!(result >= -MAX_ERRNO && result <= x.reply.body.length)) throw new Error(`result ${result}`);
    } catch (error) {
      if (error instanceof Deferred) {
        this.parkedOn = error.job;
        this.#result = -EIO;
        return PARKED;
      }
      result = this.#failed(error);
    }
    this.#result = result;
    // With number 0 the reply would be a notification: no kernel sent those bytes.
    if (this.#row.replies === false || (r.uniqueLo === 0 && r.uniqueHi === 0)) return 0;
    const total = OUT_HEADER + Math.max(result, 0);
    x.reply.header(total, Math.min(result, 0), r.uniqueLo, r.uniqueHi);
    return total;
  }

  /** The -errno for something thrown; only an {@link FsError} is expected. */
  #failed(error: unknown): number {
    const { log } = this.#options;
    const r = this.#x.request;
    if (error instanceof FsError && error.errno > 0 && error.errno <= MAX_ERRNO) {
      this.#what = error.what;
      return -error.errno;
    }
    const op = this.#row.code === 0 ? r.opcode : this.#row.name;
    if (error instanceof Malformed) {
      this.#what = error.reason;
      log.warn({ op, node: r.node, reason: error.reason }, 'malformed request');
      return -EIO;
    }
    this.#what = 'bug';
    const stack = error instanceof Error ? (error.stack ?? error.message) : inspect(error);
    log.error({ op, node: r.node, stack }, `bug in ${op}: answered EIO`);
    return -EIO;
  }

  #traced(request: Buffer, length: number, trace: (line: string) => void): number {
    const x = this.#x;
    this.#what = '';
    try {
      x.request.attach(request, length);
      trace(requestLine(rowOf(x.request.opcode), x.request));
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      trace(`malformed request: ${error.reason}`);
    }
    const start = this.#clock();
    const total = this.#serve(request, length);
    const took = this.#clock() - start;
    if (total === PARKED) trace(parkedLine(this.#row, x.request, this.parkedOn));
    else trace(replyLine(this.#row, x, { result: this.#result, what: this.#what, took }));
    return total;
  }
}
