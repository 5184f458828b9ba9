/** Numbers that the session thread counts and the main thread reads, in shared memory. */

/** Requests by opcode take the first places. */
const OPCODES = 64;
const PARKED = OPCODES;
const JOBS = OPCODES + 1;
const BYTES_IN = OPCODES + 2;
const BYTES_OUT = OPCODES + 3;
const REFUSED = OPCODES + 4;
const BUGS = OPCODES + 5;
const COPY_UPS = OPCODES + 6;
const COPIED_BYTES = OPCODES + 7;
/** Milliseconds by opcode take the last places. */
const TIMES = OPCODES + 8;
const SIZE = TIMES + OPCODES;

/** What has happened on a mount since it started. */
export interface Stats {
  /** Requests by FUSE opcode number. */
  readonly requests: Readonly<Record<number, number>>;
  readonly totalRequests: number;
  /** Milliseconds from a request's arrival until it was answered or parked, in sum, by FUSE opcode number. */
  readonly milliseconds: Readonly<Record<number, number>>;
  /** Requests that waited for a job. */
  readonly parked: number;
  /** Jobs given to helper threads. */
  readonly jobs: number;
  /** Objects copied up, directories included, and the bytes of data that went with them. */
  readonly copyUps: number;
  readonly copiedBytes: number;
  /** Bytes read from and written to the device. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Replies that the kernel refused as malformed, and exceptions that reached the loop: both are bugs. */
  readonly refused: number;
  readonly bugs: number;
}

/**
 * One writer (the session thread), any reader. A double is written in one piece, so a reader sees an old or a new
 * number, never a torn one; counts are exact to 2^53.
 */
export class Counters {
  readonly shared: SharedArrayBuffer;
  readonly #n: Float64Array;

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(SIZE * 8)) {
    this.shared = shared;
    this.#n = new Float64Array(shared);
  }

  request(opcode: number, bytes: number): void {
    this.#n[opcode & (OPCODES - 1)]!++;
    this.#n[BYTES_IN]! += bytes;
  }

  took(opcode: number, milliseconds: number): void {
    this.#n[TIMES + (opcode & (OPCODES - 1))]! += milliseconds;
  }

  reply(bytes: number): void {
    this.#n[BYTES_OUT]! += bytes;
  }

  parked(): void {
    this.#n[PARKED]!++;
  }

  job(): void {
    this.#n[JOBS]!++;
  }

  copiedUp(bytes: number): void {
    this.#n[COPY_UPS]!++;
    this.#n[COPIED_BYTES]! += bytes;
  }

  refused(): void {
    this.#n[REFUSED]!++;
  }

  bug(): void {
    this.#n[BUGS]!++;
  }

  /** A copy of all numbers. */
  read(): Stats {
    const requests: Record<number, number> = {};
    const milliseconds: Record<number, number> = {};
    let totalRequests = 0;
    for (let opcode = 0; opcode < OPCODES; opcode++) {
      const n = this.#n[opcode]!;
      if (n === 0) continue;
      requests[opcode] = n;
      milliseconds[opcode] = this.#n[TIMES + opcode]!;
      totalRequests += n;
    }
    return {
      requests,
      totalRequests,
      milliseconds,
      parked: this.#n[PARKED]!,
      jobs: this.#n[JOBS]!,
      copyUps: this.#n[COPY_UPS]!,
      copiedBytes: this.#n[COPIED_BYTES]!,
      bytesIn: this.#n[BYTES_IN]!,
      bytesOut: this.#n[BYTES_OUT]!,
      refused: this.#n[REFUSED]!,
      bugs: this.#n[BUGS]!,
    };
  }
}
