/** Operations of the client. Each returns milliseconds, or the numbers that its comment names. */

import {
  appendFileSync,
  closeSync,
  existsSync,
  fsyncSync,
  ftruncateSync,
  lstatSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  readSync,
  renameSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { performance } from 'node:perf_hooks';
import { createRandom } from './random.js';

export interface ClientArgs {
  /** The directory under test. */
  readonly root: string;
  /** A JSON file with an array of paths relative to root. */
  readonly list?: string;
  /** How many of something. */
  readonly count?: number;
  readonly bytes?: number;
  readonly block?: number;
  readonly fsync?: boolean;
  /** Makes names that no operation has looked up yet. */
  readonly salt?: string;
  /** How long to continue. */
  readonly ms?: number;
  /** A file outside the mount: stop when it exists. */
  readonly stop?: string;
}

export type ClientResult = number | Readonly<Record<string, number>>;

const lists = new Map<string, readonly string[]>();

function paths(args: ClientArgs): string[] {
  const file = args.list!;
  let names = lists.get(file);
  if (names === undefined) {
    names = JSON.parse(readFileSync(file, 'utf8')) as string[];
    lists.set(file, names);
  }
  const some = args.count === undefined ? names : names.slice(0, args.count);
  return some.map((name) => `${args.root}/${name}${args.salt ?? ''}`);
}

function numbered(args: ClientArgs): string[] {
  return Array.from({ length: args.count! }, (_, i) => `${args.root}/n${i}`);
}

function timed(items: readonly string[], body: (item: string) => void): number {
  const start = performance.now();
  for (const item of items) body(item);
  return performance.now() - start;
}

const ABSENT_OK = { throwIfNoEntry: false } as const;
const buffer = Buffer.alloc(1 << 20, 0x61);

function statPresent(args: ClientArgs): number {
  return timed(paths(args), (path) => {
    lstatSync(path);
  });
}

function statMissing(args: ClientArgs): number {
  return timed(paths(args), (path) => {
    if (lstatSync(path, ABSENT_OK) !== undefined) throw new Error(`${path} is there`);
  });
}

function readAll(args: ClientArgs): number {
  return timed(paths(args), (path) => {
    const fd = openSync(path, 'r');
    readSync(fd, buffer, 0, 65536, null);
    closeSync(fd);
  });
}

function readdir(args: ClientArgs): number {
  const start = performance.now();
  const found = readdirSync(args.root).length;
  const ms = performance.now() - start;
  if (found !== args.count) throw new Error(`${args.root}: ${found} entries, expected ${args.count}`);
  return ms;
}

function create(args: ClientArgs): number {
  const bytes = args.bytes ?? 0;
  return timed(numbered(args), (path) => {
    const fd = openSync(path, 'wx');
    if (bytes > 0) writeSync(fd, buffer, 0, bytes, null);
    closeSync(fd);
  });
}

function rename(args: ClientArgs): number {
  return timed(numbered(args), (path) => renameSync(path, `${path}.renamed`));
}

function unlink(args: ClientArgs): number {
  return timed(numbered(args), (path) => unlinkSync(`${path}${args.salt ?? ''}`));
}

function symlink(args: ClientArgs): number {
  return timed(numbered(args), (path) => symlinkSync('some/target', path));
}

function mkdir(args: ClientArgs): number {
  return timed(numbered(args), (path) => mkdirSync(path));
}

function append(args: ClientArgs): number {
  return timed(paths(args), (path) => {
    const fd = openSync(path, 'a');
    writeSync(fd, 'x');
    closeSync(fd);
  });
}

function touch(args: ClientArgs): number {
  const now = new Date();
  return timed(paths(args), (path) => utimesSync(path, now, now));
}

/** root is a file; writes one byte into its middle. */
function pokeByte(args: ClientArgs): number {
  const start = performance.now();
  const fd = openSync(args.root, 'r+');
  writeSync(fd, 'x', Math.floor(args.bytes! / 2));
  closeSync(fd);
  return performance.now() - start;
}

/** root is a file. */
function readSequential(args: ClientArgs): number {
  const start = performance.now();
  const fd = openSync(args.root, 'r');
  let total = 0;
  for (let got = -1; got !== 0; total += got) got = readSync(fd, buffer, 0, buffer.length, null);
  closeSync(fd);
  if (total !== args.bytes) throw new Error(`${args.root}: ${total} bytes, expected ${args.bytes}`);
  return performance.now() - start;
}

function writeSequential(args: ClientArgs): number {
  const start = performance.now();
  const fd = openSync(args.root, 'w');
  for (let done = 0; done < args.bytes!; done += buffer.length) writeSync(fd, buffer);
  if (args.fsync === true) fsyncSync(fd);
  closeSync(fd);
  return performance.now() - start;
}

function readRandom(args: ClientArgs): number {
  const random = createRandom(7);
  const fd = openSync(args.root, 'r');
  const start = performance.now();
  for (let i = 0; i < args.count!; i++)
    readSync(fd, buffer, 0, 4096, random.below(args.bytes! / 4096) * 4096);
  const ms = performance.now() - start;
  closeSync(fd);
  return ms;
}

function writeRandom(args: ClientArgs): number {
  const random = createRandom(11);
  const fd = openSync(args.root, 'r+');
  ftruncateSync(fd, args.bytes!);
  const start = performance.now();
  for (let i = 0; i < args.count!; i++)
    writeSync(fd, buffer, 0, 4096, random.below(args.bytes! / 4096) * 4096);
  const ms = performance.now() - start;
  closeSync(fd);
  return ms;
}

function appendFsync(args: ClientArgs): number {
  const fd = openSync(args.root, 'a');
  const start = performance.now();
  for (let i = 0; i < args.count!; i++) {
    writeSync(fd, buffer, 0, 100, null);
    fsyncSync(fd);
  }
  const ms = performance.now() - start;
  closeSync(fd);
  return ms;
}

/** For ms, creates, writes and removes small files in a directory of its own; returns operations per second. */
function stormCreate(args: ClientArgs): number {
  mkdirSync(args.root);
  return storm(args.ms!, (i) => {
    const path = `${args.root}/f${i % 50}`;
    const fd = openSync(path, 'w');
    writeSync(fd, buffer, 0, 4096, null);
    closeSync(fd);
    unlinkSync(path);
  });
}

/** For ms, looks up names that were never looked up before; returns operations per second. */
function stormLookup(args: ClientArgs): number {
  return storm(args.ms!, (i) => {
    lstatSync(`${args.root}/missing-${args.salt}-${i}`, ABSENT_OK);
  });
}

function storm(ms: number, body: (i: number) => void): number {
  const start = performance.now();
  let now = start;
  let done = 0;
  for (; now - start < ms; now = performance.now()) body(done++);
  return (done * 1000) / (now - start);
}

const clock = new Int32Array(new SharedArrayBuffer(4));
const PROBE_PERIOD_MS = 1;
const PROBE_LIMIT_MS = 120_000;

/**
 * One lookup of a new name every millisecond until the stop file exists. A lookup that was due while another one was waiting
 * counts from the time it was due: otherwise a server that stops for a second would cost only a single sample.
 */
function probe(args: ClientArgs): ClientResult {
  const latencies: number[] = [];
  const begin = performance.now();
  let due = begin;
  const overdue = () => performance.now() - due > 2 * PROBE_PERIOD_MS;
  for (let i = 0; overdue() || !existsSync(args.stop!); i++) {
    if (due - begin > PROBE_LIMIT_MS) break;
    const now = performance.now();
    if (now < due) Atomics.wait(clock, 0, 0, due - now);
    const started = performance.now();
    lstatSync(`${args.root}/missing-${args.salt}-${i}`, ABSENT_OK);
    const late = started - due > 2 * PROBE_PERIOD_MS;
    latencies.push(performance.now() - (late ? due : started));
    due = late ? due + PROBE_PERIOD_MS : started + PROBE_PERIOD_MS;
  }
  latencies.sort((a, b) => a - b);
  const at = (q: number) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * q))] ?? 0;
  return { p50: at(0.5), p99: at(0.99), max: at(1), samples: latencies.length };
}

/** Runs every kind of call until it is compiled; root is an empty directory outside any mount. */
function warmUp(args: ClientArgs): number {
  const count = 1000;
  const dir = `${args.root}/warm`;
  mkdirSync(dir);
  const own = { root: dir, count };
  create({ ...own, bytes: 4096 });
  for (const path of numbered(own)) {
    lstatSync(path);
    lstatSync(`${path}.missing`, ABSENT_OK);
    const fd = openSync(path, 'r');
    readSync(fd, buffer, 0, 65536, null);
    closeSync(fd);
    appendFileSync(path, 'x');
  }
  rename(own);
  unlink({ ...own, salt: '.renamed' });
  return 0;
}

export const OPERATIONS: Readonly<Record<string, (args: ClientArgs) => ClientResult>> = {
  append,
  appendFsync,
  create,
  mkdir,
  pokeByte,
  probe,
  readAll,
  readRandom,
  readSequential,
  readdir,
  rename,
  statMissing,
  statPresent,
  stormCreate,
  stormLookup,
  symlink,
  touch,
  unlink,
  warmUp,
  writeRandom,
  writeSequential,
};
