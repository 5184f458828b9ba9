/** The numbers of a mount in the text form that Prometheus reads. */
import type { MountStats, RequestStats } from './stats-numbers.js';

interface Metric {
  readonly name: string;
  readonly type: 'counter' | 'gauge' | 'histogram';
  readonly help: string;
  /** What follows the name: labels and value. */
  readonly samples: readonly string[];
}

/** Buckets of one kind of request: cumulative, bounds in seconds. */
function histogram(labels: string, { histogram: buckets, sum }: RequestStats): string[] {
  let total = 0;
  const lines = buckets.map(({ le, count }) => {
    total += count;
    return `_bucket{${labels},le="${le === null ? '+Inf' : le / 1e6}"} ${total}`;
  });
  return [...lines, `_sum{${labels}} ${sum / 1e6}`, `_count{${labels}} ${total}`];
}

function metrics(stats: MountStats, mount: string): Metric[] {
  const one = (name: string, type: Metric['type'], help: string, value: number): Metric => {
    return { name, type, help, samples: [`{${mount}} ${value}`] };
  };
  const cache = (name: string, help: string, key: 'hits' | 'misses'): Metric => {
    const samples = Object.entries(stats.caches).map(([of, uses]) => `{${mount},cache="${of}"} ${uses[key]}`);
    return { name, type: 'counter', help, samples };
  };
  const { requests } = stats;
  return [
    {
      name: 'requests_total',
      type: 'counter',
      help: 'Requests of the kernel by kind.',
      samples: requests.map(({ name, count }) => `{${mount},request="${name}"} ${count}`),
    },
    {
      name: 'request_duration_seconds',
      type: 'histogram',
      help: 'Time from the arrival of a request until it was answered.',
      samples: requests.flatMap((request) => histogram(`${mount},request="${request.name}"`, request)),
    },
    cache('cache_hits_total', 'What was in memory or open already.', 'hits'),
    cache('cache_misses_total', 'What had to be read or opened on a layer.', 'misses'),
    one('parked_total', 'counter', 'Requests that waited for a job.', stats.parked),
    one('jobs_total', 'counter', 'Jobs given to helper threads.', stats.jobs),
    one('copy_ups_total', 'counter', 'Objects copied up.', stats.copyUps),
    one('copied_bytes_total', 'counter', 'Bytes of data copied up.', stats.copiedBytes),
    one('in_bytes_total', 'counter', 'Bytes read from the device.', stats.bytesIn),
    one('out_bytes_total', 'counter', 'Bytes written to the device.', stats.bytesOut),
    one('refused_total', 'counter', 'Replies that the kernel refused.', stats.refused),
    one('bugs_total', 'counter', 'Requests that failed by a bug.', stats.bugs),
    one('resident_bytes', 'gauge', 'Memory of the serving process.', stats.rss),
    one('heap_bytes', 'gauge', 'Used heap of its main thread.', stats.heapUsed),
    one('descriptors', 'gauge', 'Open descriptors of the serving process.', stats.descriptors),
  ];
}

/** All metrics of a mount. */
export function asPrometheus(stats: MountStats): string {
  const mount = `mount="${stats.mountpoint.replace(/["\\]/g, '\\$&')}"`;
  const lines = metrics(stats, mount).flatMap(({ name, type, help, samples }) => [
    `# HELP plyfs_${name} ${help}`,
    `# TYPE plyfs_${name} ${type}`,
    ...samples.map((sample) => `plyfs_${name}${sample}`),
  ]);
  return `${lines.join('\n')}\n`;
}
