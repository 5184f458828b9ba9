/** The report of a mount about itself, and its validation: the mount may be another user's, who can send anything. */
import { CACHES } from '../overlay/cache-counts.js';
import type { OverlayOptions } from '../overlay/config.js';
import { BUCKET_BOUNDS, type Stats, SUMS } from './counters.js';

/** Paths are latin1, one char a byte. */
export interface MountReport {
  readonly version: 1;
  readonly pid: number;
  readonly mountpoint: string;
  readonly startedAt: string;
  readonly options: Pick<
    OverlayOptions,
    'lowerdir' | 'datadir' | 'upperdir' | 'workdir' | 'userxattr' | 'readOnly'
  >;
  /** The options in force that differ from the defaults, in the form of `-o`. */
  readonly optionText: readonly string[];
  readonly stats: Stats;
  /** Names of the requests in `stats`, by opcode number. */
  readonly names: Readonly<Record<number, string>>;
  readonly memory: { readonly rss: number; readonly heapUsed: number; readonly external: number };
  /** Open descriptors of the serving process. */
  readonly descriptors: number;
}

type Check = (value: unknown) => boolean;

const isNumber: Check = (value) => typeof value === 'number' && Number.isFinite(value);
const isText: Check = (value) => typeof value === 'string';
const isSwitch: Check = (value) => typeof value === 'boolean';
/** Names and timestamps, which are printed verbatim. */
const isWord: Check = (value) => typeof value === 'string' && /^[\w.:+-]{1,64}$/.test(value);

function listOf(check: Check): Check {
  return (value) => Array.isArray(value) && value.every(check);
}

function entriesOf(value: unknown): [string, unknown][] | null {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? Object.entries(value) : null;
}

function recordOf(check: Check): Check {
  return (value) => entriesOf(value)?.every(([key, one]) => /^\d{1,3}$/.test(key) && check(one)) === true;
}

/** An object that has at least these members. */
function shape(checks: Readonly<Record<string, Check>>): Check {
  return (value) => {
    const entries = entriesOf(value);
    if (entries === null) return false;
    const found = new Map(entries);
    return Object.entries(checks).every(([key, check]) => check(found.get(key)));
  };
}

function numbers(...keys: readonly string[]): Readonly<Record<string, Check>> {
  return Object.fromEntries(keys.map((key) => [key, isNumber]));
}

const orNull =
  (check: Check): Check =>
  (value) =>
    value === null || check(value);
const isHistogram: Check = (value) =>
  listOf(isNumber)(value) && (value as unknown[]).length === BUCKET_BOUNDS.length;

const isStats = shape({
  ...numbers(...SUMS),
  requests: recordOf(isNumber),
  milliseconds: recordOf(isNumber),
  histograms: recordOf(isHistogram),
  caches: shape(Object.fromEntries(CACHES.map((name) => [name, shape(numbers('hits', 'misses'))]))),
});

const isReport = shape({
  version: (value) => value === 1,
  ...numbers('pid', 'descriptors'),
  mountpoint: isText,
  startedAt: isWord,
  options: shape({
    lowerdir: listOf(isText),
    datadir: listOf(isText),
    upperdir: orNull(isText),
    workdir: orNull(isText),
    userxattr: isSwitch,
    readOnly: isSwitch,
  }),
  optionText: listOf(isText),
  stats: isStats,
  names: recordOf(isWord),
  memory: shape(numbers('rss', 'heapUsed', 'external')),
});

/** Whether every request that has a count also has times and a histogram. */
function isWhole({ stats }: MountReport): boolean {
  return Object.keys(stats.requests).every(
    (opcode) => Number(opcode) in stats.milliseconds && Number(opcode) in stats.histograms,
  );
}

/** Parses a report; null for anything else. */
export function parseReport(text: string): MountReport | null {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    // Nobody was listening, or the connection ended midway.
    return null;
  }
  return isReport(value) && isWhole(value as MountReport) ? (value as MountReport) : null;
}
