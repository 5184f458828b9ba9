/** Counters in shared memory: the session thread counts, the main thread reads. */
import { CACHE_COUNTS, CACHES, type CacheName } from '../overlay/cache-counts.js';

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
/** Milliseconds by opcode. */
const TIMES = OPCODES + 8;
/** Histograms by opcode: {@link BUCKETS} places each. */
const HISTOGRAMS = TIMES + OPCODES;
/** Bucket n counts requests that took more than 2^(n-1) and up to 2^n microseconds; the last one, everything beyond. */
const BUCKETS = 22;
/** Counts of the core's caches take the last places. */
const CACHE_HITS = HISTOGRAMS + OPCODES * BUCKETS;
const SIZE = CACHE_HITS + CACHE_COUNTS;

/** Upper bounds of the buckets of {@link Stats.histograms} in microseconds: 1 to 2^20, and Infinity. */
export const BUCKET_BOUNDS: readonly number[] = Array.from({ length: BUCKETS }, (_, n) =>
  n === BUCKETS - 1 ? Number.POSITIVE_INFINITY : 2 ** n,
);

/** What has happened on a mount since it started. */
export interface Stats {
  /** Requests by FUSE opcode number. */
  readonly requests: Readonly<Record<number, number>>;
  readonly totalRequests: number;
  /** Total milliseconds from the arrival of requests to their answers, waits for jobs included, by opcode. */
  readonly milliseconds: Readonly<Record<number, number>>;
  /** How many answered requests fall into each bucket of {@link BUCKET_BOUNDS}, by opcode. */
  readonly histograms: Readonly<Record<number, readonly number[]>>;
  /** Hits and misses of the core's caches: see overlay/cache-counts.ts. */
  readonly caches: Readonly<Record<CacheName, { readonly hits: number; readonly misses: number }>>;
  /** Requests that waited for a job. */
  readonly parked: number;
  /** Jobs given to helper threads. */
  readonly jobs: number;
  /** Objects copied up, directories included (a metacopy again when its data follows), and the bytes of their data. */
  readonly copyUps: number;
  readonly copiedBytes: number;
  /** Bytes read from and written to the device. */
  readonly bytesIn: number;
  readonly bytesOut: number;
  /** Replies that the kernel refused as malformed, and exceptions that reached the loop: both are bugs. */
  readonly refused: number;
  readonly bugs: number;
}

/** The members of {@link Stats} that are plain numbers. */
export const SUMS = [
  'totalRequests',
  'parked',
  'jobs',
  'copyUps',
  'copiedBytes',
  'bytesIn',
  'bytesOut',
  'refused',
  'bugs',
] as const;

/**
 * One writer (the session thread), any reader. A double is written in one piece, so a reader sees an old or a new
 * number, never a torn one; counts are exact to 2^53.
 */
export class Counters {
  readonly shared: SharedArrayBuffer;
  /** The part in which the core counts: see overlay/cache-counts.ts. */
  readonly caches: Float64Array;
  readonly #n: Float64Array;

  constructor(shared: SharedArrayBuffer = new SharedArrayBuffer(SIZE * 8)) {
    this.shared = shared;
    this.#n = new Float64Array(shared);
    this.caches = new Float64Array(shared, CACHE_HITS * 8, CACHE_COUNTS);
  }

  request(opcode: number, bytes: number): void {
    this.#n[opcode & (OPCODES - 1)]!++;
    this.#n[BYTES_IN]! += bytes;
  }

  took(opcode: number, milliseconds: number): void {
    const code = opcode & (OPCODES - 1);
    const us = milliseconds * 1000;
    const bucket = us > 1 ? Math.min(32 - Math.clz32(Math.ceil(us) - 1), BUCKETS - 1) : 0;
    this.#n[TIMES + code]! += milliseconds;
    this.#n[HISTOGRAMS + code * BUCKETS + bucket]!++;
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
    const histograms: Record<number, number[]> = {};
    let totalRequests = 0;
    for (let opcode = 0; opcode < OPCODES; opcode++) {
      const n = this.#n[opcode]!;
      if (n === 0) continue;
      requests[opcode] = n;
      milliseconds[opcode] = this.#n[TIMES + opcode]!;
      const at = HISTOGRAMS + opcode * BUCKETS;
      histograms[opcode] = [...this.#n.subarray(at, at + BUCKETS)];
      totalRequests += n;
    }
    return {
      requests,
      totalRequests,
      milliseconds,
      histograms,
      caches: this.#cacheUses(),
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

  #cacheUses(): Stats['caches'] {
    const uses = CACHES.map((name, i) => [
      name,
      { hits: this.caches[2 * i]!, misses: this.caches[2 * i + 1]! },
    ]);
    return Object.fromEntries(uses) as Stats['caches'];
  }
}
