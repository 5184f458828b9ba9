/**
 * The loop of the session thread: read a request, handle it, write the reply.
 *
 * Concurrency. The whole filesystem core runs in this loop, one request at a time, and never yields: no promise, timer
 * or event is served within a request, so nothing in the core needs a lock. (On the main thread, events are served
 * between requests: main-session.ts.) Helper threads (jobs.ts) touch only the descriptors named in a job; they write no
 * state of ours and return one number. What would break this: an `await` on this thread, or a job that gets more than
 * descriptors.
 *
 * A request that must wait for a job is parked: its bytes are kept, and it is handled again from the start once the job
 * is done. Other requests are served meanwhile and may overtake it, as they may on any filesystem.
 */

import { FUSE_INIT, MAX_DATA, OUT_HEADER } from '../fuse/abi.js';
import { PARKED } from '../fuse/server.js';
import * as sys from '../sys/index.js';
import type { Log } from '../vfs/log.js';
import type { Counters } from './counters.js';
import { AGAIN, type Device, isUnwanted } from './device.js';
import type { HelperJobs } from './jobs.js';
import { GRACE, KeepAwake } from './keep-awake.js';
import { stackOf } from './log.js';
import type { SessionEnd } from './protocol.js';
import { CALM, Reclaimer } from './reclaim.js';
import { Spin } from './spin.js';

/** What the loop needs from the protocol server (fuse/server.ts). */
export interface RequestHandler {
  /** Returns the length of the answer in {@link reply}, 0 when none is due, or {@link PARKED}. */
  handle(request: Buffer, length: number): number;
  readonly reply: Buffer;
  /** After {@link PARKED}: the job to wait for. */
  readonly parkedOn: number;
  /** Takes back what the last reply granted. */
  undoReply(): void;
}

/** Positions among the descriptors of {@link SessionLoop}'s poller. */
const DEVICE = 0;
const JOBS = 1;
const EVENTS = 2;
/** struct fuse_in_header: length, opcode, unique. */
const OPCODE_AT = 4;
const UNIQUE_AT = 8;
/** struct fuse_out_header: length, error, unique. */
const ERROR_AT = 4;
/** Bytes of a request beyond the data of a WRITE: header, arguments, and the minimum that older kernels insist on. */
const REQUEST_OVERHEAD = 4096;

/** The event loop of the session's thread, which gets a turn between requests when something waits there. */
export interface Events {
  /** Readable when an event is waiting; -1: there are never any. */
  readonly fd: number;
  /** Milliseconds until it must run even without an event; -1: never. */
  timeout(): number;
}

/** For a thread whose event loop is idle while the session lives. */
export const NO_EVENTS: Events = { fd: -1, timeout: () => -1 };

/** Events are checked after this many requests, however busy the mount is. */
const REQUESTS_BETWEEN_EVENTS = 64;

/** What {@link SessionLoop} runs with. */
export interface LoopParts {
  readonly device: Device;
  readonly handler: RequestHandler;
  readonly jobs: HelperJobs;
  readonly counters: Counters;
  readonly log: Log;
  /** From openKeepAwake(). */
  readonly awakeFd: number;
  /** The caller has a CPU besides ours. */
  readonly hasTwoCpus: boolean;
  readonly events: Events;
  /** Called once, when INIT was answered. */
  readonly onReady: () => void;
}

/** A request that waits for a job, and when it arrived (performance.now()). */
interface ParkedRequest {
  readonly request: Buffer;
  readonly arrived: number;
}

/** Serves one mount until it ends. */
export class SessionLoop {
  readonly #parts: LoopParts;
  readonly #request: Buffer;
  /** Parked requests by the job that they wait for, in order of arrival. */
  readonly #parked = new Map<number, ParkedRequest[]>();
  readonly #spin: Spin;
  readonly #reclaimer = new Reclaimer();
  readonly #awake: KeepAwake;
  readonly #poller: sys.Poller;
  readonly #look = (): number => this.#parts.device.read(this.#request);
  #ready = false;
  /** The event loop has something to do. */
  #eventful = false;
  #served = 0;
  #failed: SessionEnd | null = null;

  constructor(parts: LoopParts) {
    this.#parts = parts;
    this.#request = Buffer.alloc(MAX_DATA + REQUEST_OVERHEAD);
    this.#spin = new Spin(parts.hasTwoCpus);
    this.#awake = new KeepAwake(parts.awakeFd);
    this.#poller = new sys.Poller([parts.device.fd, parts.jobs.wake, parts.events.fd]);
  }

  /**
   * Returns when the mount is gone and no job is outstanding, or null when it must be called again after a turn of the event
   * loop. It throws only on a bug outside any request, and may be called again after that, too.
   */
  run(): SessionEnd | null {
    const { jobs } = this.#parts;
    for (;;) {
      if (this.#eventful) {
        this.#eventful = false;
        return null;
      }
      if (jobs.outstanding > 0) {
        this.#sleep();
        if (this.#poller.ready(JOBS)) this.#resume();
        if (!this.#poller.ready(DEVICE)) continue;
      }
      const length = this.#read();
      if (length > 0) {
        this.#served++;
        this.#serve(this.#request, length);
      }
      if (this.#reclaimer.due && this.#isQuiet(CALM)) this.#reclaimer.collect();
      if (length <= 0 && length !== AGAIN) return this.#end(length);
      if (this.#failed !== null) return this.#end(0);
      if (length > 0 && this.#served % REQUESTS_BETWEEN_EVENTS === 0) this.#lookForEvents();
    }
  }

  /** Requests read so far. */
  get served(): number {
    return this.#served;
  }

  /** Waits for a request, a finished job, or something for the event loop to do. */
  #sleep(): void {
    const isQuiet = this.#isQuiet(this.#parts.events.timeout());
    if (isQuiet || this.#poller.ready(EVENTS)) this.#eventful = true;
  }

  /** Whether nothing happens for `timeout` milliseconds (-1: for ever). CPUs are not kept awake over a long wait. */
  #isQuiet(timeout: number): boolean {
    if (this.#awake.on && (timeout < 0 || timeout > GRACE)) {
      if (this.#poller.wait(GRACE) !== 0) return false;
      this.#awake.release();
    }
    return this.#poller.wait(timeout) === 0;
  }

  #lookForEvents(): void {
    this.#poller.wait(0);
    if (this.#poller.ready(EVENTS)) this.#eventful = true;
  }

  /** Reads the next request: at once, after polling, or after a sleep. AGAIN when even the sleep brought none. */
  #read(): number {
    let length = this.#look();
    if (length === AGAIN) length = this.#spin.until(AGAIN, this.#look);
    if (length !== AGAIN) {
      this.#awake.request();
      return length;
    }
    this.#awake.pause();
    this.#sleep();
    return this.#look();
  }

  #serve(request: Buffer, length: number): void {
    const { counters } = this.#parts;
    const opcode = request[OPCODE_AT]!;
    counters.request(opcode, length);
    const arrived = performance.now();
    this.#reclaimer.request(opcode, request);
    this.#dispatch(request, length, arrived);
    if (opcode === FUSE_INIT && !this.#ready) this.#initialised();
  }

  /** The handler answers every failure itself; this is the safety net below it. */
  #dispatch(request: Buffer, length: number, arrived: number): void {
    try {
      this.#answer(request, length, arrived);
    } catch (error) {
      const { counters, device, handler, log } = this.#parts;
      counters.bug();
      log.error({ opcode: request[OPCODE_AT], stack: stackOf(error) }, 'a request failed by a bug');
      // If it was answered already, the kernel refuses this reply.
      device.write(handler.reply, this.#errorReply(request, sys.EIO));
    }
  }

  #answer(request: Buffer, length: number, arrived: number): void {
    const { counters, handler } = this.#parts;
    const answer = handler.handle(request, length);
    if (answer === PARKED) {
      this.#park(request, length, arrived);
      return;
    }
    if (answer !== 0) this.#reply(request, answer);
    counters.took(request[OPCODE_AT]!, performance.now() - arrived);
  }

  #reply(request: Buffer, answer: number): void {
    const { device, handler, counters, log } = this.#parts;
    counters.reply(answer);
    const rc = device.write(handler.reply, answer);
    if (rc === 0) return;
    handler.undoReply();
    if (isUnwanted(rc)) return;
    counters.refused();
    const opcode = request[OPCODE_AT]!;
    log.error({ opcode, length: answer, errno: sys.errnoName(rc) }, 'the kernel refused a reply');
    device.write(handler.reply, this.#errorReply(request, sys.EIO));
  }

  #errorReply(request: Buffer, errno: number): number {
    const { reply } = this.#parts.handler;
    reply.writeUInt32LE(OUT_HEADER, 0);
    reply.writeInt32LE(-errno, ERROR_AT);
    request.copy(reply, UNIQUE_AT, UNIQUE_AT, UNIQUE_AT + 8);
    return OUT_HEADER;
  }

  #park(request: Buffer, length: number, arrived: number): void {
    const job = this.#parts.handler.parkedOn;
    // The read buffer is reused; a request parked for the second time already has its own.
    const kept = request === this.#request ? Buffer.from(request.subarray(0, length)) : request;
    const waiting = this.#parked.get(job);
    if (waiting === undefined) this.#parked.set(job, [{ request: kept, arrived }]);
    else waiting.push({ request: kept, arrived });
    this.#parts.counters.parked();
  }

  #resume(): void {
    for (const job of this.#parts.jobs.collect()) {
      const waiting = this.#parked.get(job) ?? [];
      this.#parked.delete(job);
      this.#parts.jobs.resumed = job;
      for (const { request, arrived } of waiting) this.#dispatch(request, request.length, arrived);
      this.#parts.jobs.resumed = 0;
    }
  }

  #initialised(): void {
    const error = this.#parts.handler.reply.readInt32LE(ERROR_AT);
    if (error === 0) {
      this.#ready = true;
      this.#parts.onReady();
      this.#eventful = this.#parts.events.fd >= 0; // lets whoever waits for `ready` continue
    } else {
      const text = `the kernel's FUSE version does not fit: ${sys.errnoName(error)}.`;
      this.#failed = { reason: 'failed', text };
    }
  }

  /** Waits for outstanding jobs: the filesystem is about to close their descriptors. */
  #end(rc: number): SessionEnd {
    const { jobs } = this.#parts;
    this.#awake.release();
    const poller = new sys.Poller([jobs.wake]);
    while (jobs.outstanding > 0) {
      poller.wait(-1);
      this.#resume();
    }
    if (this.#failed !== null) return this.#failed;
    if (rc === -sys.ENODEV) return { reason: 'unmounted', text: '' };
    if (rc === -sys.ECONNABORTED) return { reason: 'aborted', text: 'The FUSE connection was aborted.' };
    return { reason: 'failed', text: `reading /dev/fuse failed: ${sys.errnoName(rc)}.` };
  }
}
