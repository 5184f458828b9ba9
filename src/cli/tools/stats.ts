/** `plyfs stats`. */

import { columns, sizeText } from '../../tools/text.js';
import { UsageError } from '../usage-error.js';
import { print, printJson, type ToolCommand, text, USUAL_CODES } from './command.js';
import { reportOf } from './stack.js';
import { type MountStats, statsOf } from './stats-numbers.js';
import { asPrometheus } from './stats-prometheus.js';

/** The heading above the bars of a histogram, whose buckets are powers of two. */
const AXIS = '1 µs       1 ms      1 s';
const BARS = ' ▁▂▃▄▅▆▇█';

/** A histogram as one bar per bucket; a bucket that is not empty is always visible. */
function spark(counts: readonly number[]): string {
  const most = Math.max(...counts);
  return counts
    .map((count) => BARS[count === 0 ? 0 : Math.max(1, Math.round((8 * count) / most))])
    .join('')
    .trimEnd();
}

function withinText(microseconds: number | null): string {
  if (microseconds === null) return '> 1 s';
  return microseconds < 1024 ? `${microseconds} µs` : `${Math.round(microseconds / 1000)} ms`;
}

function asText(stats: MountStats): string {
  const head = `${stats.mountpoint}: process ${stats.pid}, since ${stats.startedAt}, memory ${sizeText(stats.rss)}, ${stats.descriptors} descriptors\n`;
  const sums = `${stats.totalRequests} requests, ${stats.parked} waited for ${stats.jobs} jobs; ${stats.copyUps} copy-ups with ${sizeText(stats.copiedBytes)}; ${sizeText(stats.bytesIn)} in, ${sizeText(stats.bytesOut)} out; ${stats.bugs} bugs\n`;
  const caches = Object.entries(stats.caches).map(([name, { hits, misses }]) => [
    name,
    String(hits),
    String(misses),
    hits + misses === 0 ? '-' : `${((100 * hits) / (hits + misses)).toFixed(1)}%`,
  ]);
  const rows = stats.requests.map((one) => [
    one.name,
    String(one.count),
    `${one.microseconds} µs`,
    ...[one.p50, one.p90, one.p99].map(withinText),
    spark(one.histogram.map(({ count }) => count)),
  ]);
  const kinds = columns([['request', 'count', 'mean', '50%', '90%', '99%', AXIS], ...rows], [1, 2, 3, 4, 5]);
  return `${head}${sums}\n${columns([['cache', 'hits', 'misses', 'hit rate'], ...caches], [1, 2, 3])}\n${kinds}`;
}

type Format = (stats: MountStats) => void;

function format(parsed: Readonly<Record<string, unknown>>): Format {
  if (parsed['json'] === true)
    return parsed['watch'] === undefined ? printJson : (stats) => print(`${JSON.stringify(stats)}\n`);
  if (parsed['prometheus'] === true) return (stats) => print(asPrometheus(stats));
  return (stats) => print(asText(stats));
}

async function watch(path: string, seconds: number, show: Format): Promise<void> {
  let last = await reportOf(path);
  for (;;) {
    await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
    const next = await reportOf(path);
    if (process.stdout.isTTY) print('\u001b[H\u001b[2J');
    show(statsOf(next, last));
    last = next;
  }
}

export const statsCommand: ToolCommand = {
  syntax: 'stats <mount>',
  describe: `Live numbers of a plyfs mount: requests by kind with their times, uses of caches, copy-ups, jobs,
bytes, memory. Times are from a request's arrival until its answer, in buckets of powers of two. They are read from the mount's
socket in /run/plyfs, for a user's mount in $XDG_RUNTIME_DIR/plyfs (/run/user/UID/plyfs); it answers its own user and root.`,
  examples: [
    ['plyfs stats /merged', 'since it was mounted'],
    ['plyfs stats /merged --watch', 'each second, what happened in it; --watch 10: each ten seconds'],
    ['plyfs stats /merged --prometheus', 'as text for Prometheus'],
  ],
  exitCodes: USUAL_CODES,
  options: (y) =>
    y
      .positional('mount', { type: 'string', demandOption: true, describe: 'a mount point' })
      .option('watch', { type: 'string', describe: 'go on, every so many seconds (1)' })
      .option('prometheus', { type: 'boolean', describe: 'print the text form of Prometheus' })
      .conflicts('prometheus', ['watch', 'json']),
  run: async (parsed) => {
    const path = text(parsed['mount'])!;
    const show = format(parsed);
    if (parsed['watch'] === undefined) show(statsOf(await reportOf(path), null));
    else {
      const given = text(parsed['watch']);
      const seconds = given === '' ? 1 : Number(given);
      if (!(seconds >= 0.1 && seconds <= 86400))
        throw new UsageError(`--watch takes seconds, from 0.1 to 86400, not '${given}'.`);
      await watch(path, seconds, show);
    }
    return 0;
  },
};
