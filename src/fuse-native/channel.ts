/**
 * fuse-native as a transport: requests come in on this thread's event loop, are served at once, one after the other,
 * and are answered.
 *
 * It must be the main thread: the addon binds itself to libuv's default loop (uv_default_loop() in fuse-native.c). The
 * threads of libfuse wait until their request is signalled; nothing of ours runs on them.
 *
 * Of fuse-native, only the addon, the table of handlers and the life cycle are used. Its own `_op_*` methods are replaced,
 * since some of them are wrong (native-notes/fuse-native.md): a getxattr that overruns its buffer, an fgetattr by name, a
 * utimens with atime twice. Its unmount, which goes through a shell, and its timeout of 15 seconds are not used either.
 */
import type { Handler, Signal } from 'fuse-native';
import { EIO } from '../sys/errno.js';
import { Deferred, FsError } from '../vfs/errors.js';
import type { Log } from '../vfs/log.js';
import type { FuseClass } from './load.js';
import { OPERATIONS, type Operation } from './operations.js';
import type { PathFiles, Times } from './path-files.js';

/** What a channel reports to the session. */
export interface ChannelEvents {
  /** A request arrived. */
  request(opcode: number): void;
  /** Its answer: `>= 0` or `-errno`. Only called when requests are traced. */
  readonly answered: ((name: string, args: readonly unknown[], result: number) => void) | null;
  /** The request waits for a job. */
  parked(): void;
  /** How long the request took, from its arrival until it was answered. */
  took(opcode: number, milliseconds: number): void;
  /** An exception other than FsError. */
  bug(): void;
}

/** What a {@link Channel} connects. */
export interface ChannelParts {
  readonly mountpoint: string;
  /** From options.ts. */
  readonly options: string;
  readonly files: PathFiles;
  readonly events: ChannelEvents;
  readonly log: Log;
}

const UTIMENS = 12;
/** Places of the opcode and of both times (64 bits, milliseconds) in fuse_thread_locals_t on 64-bit machines. */
const OPCODE_AT = 8;
const ATIME_AT = 104;
const MTIME_AT = 112;

/**
 * The addon passes atime twice, but the request's record has both times. Null unless the record looks as expected: its
 * opcode, and atime as passed.
 */
export function timesOf(record: Buffer, low: unknown, high: unknown): Times | null {
  if (record.length < MTIME_AT + 8 || record.readUInt32LE(OPCODE_AT) !== UTIMENS) return null;
  if (record.readUInt32LE(ATIME_AT) !== low || record.readUInt32LE(ATIME_AT + 4) !== high) return null;
  return {
    atime: Number(record.readBigInt64LE(ATIME_AT)),
    mtime: Number(record.readBigInt64LE(MTIME_AT)),
  };
}

/** A handler that passes {@link timesOf} instead of the addon's numbers. */
function withTimes(original: Handler): Handler {
  return function (record, opcode, path, low, high) {
    original.call(this, record, opcode, path, timesOf(record, low, high));
  };
}

/** One connection of libfuse: receives its requests and answers them. */
export class Channel {
  readonly #parts: ChannelParts;
  /** Requests by the job that they wait for. */
  readonly #parked = new Map<number, (() => void)[]>();

  constructor(parts: ChannelParts) {
    this.#parts = parts;
  }

  /** Mounts. Resolves once INIT is answered. */
  mount(Fuse: FuseClass): Promise<void> {
    const { mountpoint, options } = this.#parts;
    class Connection extends Fuse {
      protected override _fuseOptions(): string {
        return options;
      }

      fixUtimens(): void {
        this._handlers[UTIMENS] = withTimes(this._handlers[UTIMENS]!);
      }
    }
    const offered = Object.fromEntries(OPERATIONS.map(({ name }) => [name, true]));
    const connection = new Connection(mountpoint, offered, { timeout: false });
    connection.fixUtimens();
    for (const operation of OPERATIONS) {
      const serve = (signal: Signal, ...args: unknown[]): void => this.#serve(operation, signal, args);
      Object.defineProperty(connection, `_op_${operation.name}`, { value: serve });
    }
    return new Promise((resolve, reject) => {
      connection.mount((error) => (error === null || error === undefined ? resolve() : reject(error)));
    });
  }

  /** A job is done: serves the requests that waited for it again, from the start. */
  resume(job: number): void {
    const waiting = this.#parked.get(job) ?? [];
    this.#parked.delete(job);
    for (const serve of waiting) serve();
  }

  #serve(operation: Operation, signal: Signal, args: readonly unknown[]): void {
    this.#parts.events.request(operation.opcode);
    this.#answer(operation, signal, args, performance.now());
  }

  /** `arrived`: by performance.now(). */
  #answer(operation: Operation, signal: Signal, args: readonly unknown[], arrived: number): void {
    const { files, events } = this.#parts;
    let result = 0;
    let payload: readonly unknown[] = [];
    try {
      const outcome = operation.run(files, ...(args as never[]));
      if (typeof outcome === 'number') result = outcome;
      else payload = outcome;
    } catch (error) {
      if (error instanceof Deferred) {
        this.#park(error.job, () => this.#answer(operation, signal, args, arrived));
        return;
      }
      result = -this.#errnoOf(operation, error);
    }
    events.answered?.(operation.name, args, result);
    if (operation.handBack !== undefined) payload = operation.handBack(args, result);
    signal(result, ...payload);
    events.took(operation.opcode, performance.now() - arrived);
  }

  #errnoOf(operation: Operation, error: unknown): number {
    if (error instanceof FsError) return error.errno;
    this.#parts.events.bug();
    const stack = error instanceof Error ? error.stack : String(error);
    this.#parts.log.error({ operation: operation.name, stack }, 'a request failed by a bug');
    return EIO;
  }

  #park(job: number, serve: () => void): void {
    this.#parts.events.parked();
    const waiting = this.#parked.get(job);
    if (waiting === undefined) this.#parked.set(job, [serve]);
    else waiting.push(serve);
  }
}
