/** `plyfs stats`. */

import type { MountReport } from '../../session/control.js';
import { columns, shown, sizeText } from '../../tools/text.js';
import { UsageError } from '../arguments.js';
import { print, printJson, type ToolCommand, text, USUAL_CODES } from './command.js';
import { reportOf } from './stack.js';

/** A report as people and programs read it: names in place of numbers, text in place of bytes. */
export interface MountStats {
  readonly mountpoint: string;
  readonly pid: number;
  readonly startedAt: string;
  readonly requests: readonly {
    readonly name: string;
    readonly count: number;
    readonly microseconds: number;
  }[];
  readonly totalRequests: number;
  readonly parked: number;
  readonly jobs: number;
  readonly copyUps: number;
  readonly copiedBytes: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly refused: number;
  readonly bugs: number;
  readonly rss: number;
  readonly heapUsed: number;
  readonly descriptors: number;
}

/** The report in words; `since`: an earlier one, which is taken off. */
function statsOf(report: MountReport, since: MountReport | null): MountStats {
  const { stats } = report;
  const before = since?.stats ?? null;
  const requests = Object.entries(stats.requests)
    .map(([opcode, total]) => {
      const count = total - (before?.requests[Number(opcode)] ?? 0);
      const spent = stats.milliseconds[Number(opcode)]! - (before?.milliseconds[Number(opcode)] ?? 0);
      return {
        name: report.names[Number(opcode)] ?? opcode,
        count,
        microseconds: count === 0 ? 0 : Math.round((spent * 1000) / count),
      };
    })
    .filter(({ count }) => count > 0)
    .sort((a, b) => b.count - a.count);
  const less = (
    key:
      | 'totalRequests'
      | 'parked'
      | 'jobs'
      | 'copyUps'
      | 'copiedBytes'
      | 'bytesIn'
      | 'bytesOut'
      | 'refused'
      | 'bugs',
  ): number => stats[key] - (before?.[key] ?? 0);
  return {
    mountpoint: shown(report.mountpoint),
    pid: report.pid,
    startedAt: report.startedAt,
    requests,
    totalRequests: less('totalRequests'),
    parked: less('parked'),
    jobs: less('jobs'),
    copyUps: less('copyUps'),
    copiedBytes: less('copiedBytes'),
    bytesIn: less('bytesIn'),
    bytesOut: less('bytesOut'),
    refused: less('refused'),
    bugs: less('bugs'),
    rss: report.memory.rss,
    heapUsed: report.memory.heapUsed,
    descriptors: report.descriptors,
  };
}

function asText(stats: MountStats): string {
  const head = `${stats.mountpoint}: process ${stats.pid}, since ${stats.startedAt}, memory ${sizeText(stats.rss)}, ${stats.descriptors} descriptors\n`;
  const sums = `${stats.totalRequests} requests, ${stats.parked} waited for ${stats.jobs} jobs; ${stats.copyUps} copy-ups with ${sizeText(stats.copiedBytes)}; ${sizeText(stats.bytesIn)} in, ${sizeText(stats.bytesOut)} out; ${stats.bugs} bugs\n`;
  const rows = stats.requests.map(({ name, count, microseconds }) => [
    name,
    String(count),
    `${microseconds} µs`,
  ]);
  return `${head}${sums}\n${columns([['request', 'count', 'mean'], ...rows], [1, 2])}`;
}

/** The text form that Prometheus reads. */
function asPrometheus(stats: MountStats): string {
  const mount = `mount="${stats.mountpoint.replace(/["\\]/g, '\\$&')}"`;
  const lines = ['# TYPE plyfs_requests_total counter'];
  for (const { name, count } of stats.requests)
    lines.push(`plyfs_requests_total{${mount},request="${name}"} ${count}`);
  lines.push('# TYPE plyfs_request_seconds_total counter');
  for (const { name, count, microseconds } of stats.requests)
    lines.push(`plyfs_request_seconds_total{${mount},request="${name}"} ${(count * microseconds) / 1e6}`);
  const more: [string, string, number][] = [
    ['parked_total', 'counter', stats.parked],
    ['jobs_total', 'counter', stats.jobs],
    ['copy_ups_total', 'counter', stats.copyUps],
    ['copied_bytes_total', 'counter', stats.copiedBytes],
    ['in_bytes_total', 'counter', stats.bytesIn],
    ['out_bytes_total', 'counter', stats.bytesOut],
    ['refused_total', 'counter', stats.refused],
    ['bugs_total', 'counter', stats.bugs],
    ['resident_bytes', 'gauge', stats.rss],
    ['heap_bytes', 'gauge', stats.heapUsed],
    ['descriptors', 'gauge', stats.descriptors],
  ];
  for (const [name, type, value] of more)
    lines.push(`# TYPE plyfs_${name} ${type}`, `plyfs_${name}{${mount}} ${value}`);
  return `${lines.join('\n')}\n`;
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
  describe: `Live numbers of a plyfs mount: requests by kind with their mean time, jobs, bytes, memory. They are read from the mount's
socket in /run/plyfs (or $XDG_RUNTIME_DIR/plyfs), which answers its own user and root.`,
  examples: [
    ['plyfs stats /merged', 'since it was mounted'],
    ['plyfs stats /merged --watch', 'each second, what happened in it; --watch 10: each ten seconds'],
    ['plyfs stats /merged --prometheus', 'as text for Prometheus'],
  ],
  exitCodes: USUAL_CODES,
  options: (y) =>
    y
      .positional('mount', { type: 'string', demandOption: true, describe: 'a mount point' })
      .option('watch', { type: 'number', describe: 'go on, every so many seconds (1)' })
      .option('prometheus', { type: 'boolean', describe: 'print the text form of Prometheus' }),
  run: async (parsed) => {
    const path = text(parsed['mount'])!;
    const show = format(parsed);
    if (parsed['watch'] === undefined) show(statsOf(await reportOf(path), null));
    else {
      const given = parsed['watch'];
      const seconds = typeof given === 'number' && !Number.isNaN(given) ? given : 1;
      if (seconds < 0.1) throw new UsageError('the least interval is 0.1 seconds.');
      await watch(path, seconds, show);
    }
    return 0;
  },
};
