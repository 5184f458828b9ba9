/** The statistics of a mount, or of the time between two reports, for people and programs. */

import { BUCKET_BOUNDS, type Stats, SUMS } from '../../session/counters.js';
import type { MountReport } from '../../session/mount-report.js';
import { shown } from '../../tools/text.js';

/** Requests of one kind. Times are from arrival to answer, in microseconds. */
export interface RequestStats {
  readonly name: string;
  readonly count: number;
  /** Mean time, rounded. */
  readonly microseconds: number;
  /** Total time. */
  readonly sum: number;
  /** Percentiles, rounded up to a power of two; null: longer than a second. */
  readonly p50: number | null;
  readonly p90: number | null;
  readonly p99: number | null;
  /** How many took at most `le` and more than the bucket before; the last `le` is null: unbounded. */
  readonly histogram: readonly { readonly le: number | null; readonly count: number }[];
}

/** A report with names instead of opcodes and text instead of bytes. */
export interface MountStats extends Omit<Stats, 'requests' | 'milliseconds' | 'histograms'> {
  readonly mountpoint: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly requests: readonly RequestStats[];
  readonly rss: number;
  readonly heapUsed: number;
  readonly descriptors: number;
}

const bounds = BUCKET_BOUNDS.map((bound) => (Number.isFinite(bound) ? bound : null));

function percentile(counts: readonly number[], answered: number, percent: number): number | null {
  let left = (answered * percent) / 100;
  const at = counts.findIndex((count) => {
    left -= count;
    return left <= 0;
  });
  return bounds[at] ?? null;
}

function requestStats(report: MountReport, before: Stats | null, opcode: number): RequestStats {
  const { stats } = report;
  const counts = stats.histograms[opcode]!.map((n, i) => n - (before?.histograms[opcode]?.[i] ?? 0));
  const answered = counts.reduce((sum, count) => sum + count, 0);
  const spent = stats.milliseconds[opcode]! - (before?.milliseconds[opcode] ?? 0);
  return {
    name: report.names[opcode] ?? String(opcode),
    count: stats.requests[opcode]! - (before?.requests[opcode] ?? 0),
    microseconds: answered === 0 ? 0 : Math.round((spent * 1000) / answered),
    sum: Math.round(spent * 1000),
    p50: percentile(counts, answered, 50),
    p90: percentile(counts, answered, 90),
    p99: percentile(counts, answered, 99),
    histogram: counts.map((count, i) => ({ le: bounds[i]!, count })),
  };
}

function cacheUses(stats: Stats, before: Stats | null): Stats['caches'] {
  const uses = Object.entries(stats.caches).map(([name, { hits, misses }]) => {
    const earlier = before?.caches[name as keyof Stats['caches']];
    return [name, { hits: hits - (earlier?.hits ?? 0), misses: misses - (earlier?.misses ?? 0) }];
  });
  return Object.fromEntries(uses) as Stats['caches'];
}

/** The statistics in a report; `since`: an earlier one to subtract. */
export function statsOf(report: MountReport, since: MountReport | null): MountStats {
  const { stats } = report;
  const before = since?.stats ?? null;
  const sums = Object.fromEntries(SUMS.map((key) => [key, stats[key] - (before?.[key] ?? 0)]));
  return {
    mountpoint: shown(report.mountpoint),
    pid: report.pid,
    startedAt: report.startedAt,
    requests: Object.keys(stats.requests)
      .map((opcode) => requestStats(report, before, Number(opcode)))
      .filter(({ count }) => count > 0)
      .sort((a, b) => b.count - a.count),
    caches: cacheUses(stats, before),
    ...(sums as Pick<MountStats, (typeof SUMS)[number]>),
    rss: report.memory.rss,
    heapUsed: report.memory.heapUsed,
    descriptors: report.descriptors,
  };
}
