/**
 * The two transports side by side: one round trip, find, tar and untar of a tree. Prints a table of the best of several
 * interleaved runs: on a machine with other work the best run is the least disturbed one.
 *
 *   node dist/scripts/compare-transports.js [runs]
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, statfsSync, writeFileSync } from 'node:fs';
import { release } from 'node:os';
import { fileURLToPath } from 'node:url';
import { Scratch } from '../test/support/scratch.js';

const CLI = fileURLToPath(new URL('../src/cli/main.js', import.meta.url));
const TRANSPORTS = ['kernel', 'fuse-native'] as const;
const DIRECTORIES = 20;
const FILES = 50;
const ROUND_TRIPS = 1000;

type Times = Map<string, number>;

function must(program: string, args: readonly string[]): void {
  const { status, stderr, error } = spawnSync(program, args, {
    stdio: ['ignore', 'ignore', 'pipe'],
    timeout: 120_000,
  });
  if (status !== 0) throw new Error(`${program} ${args.join(' ')}: ${error?.message ?? stderr.toString()}`);
}

/** Milliseconds of a shell command. */
function shell(script: string): number {
  const start = process.hrtime.bigint();
  must('/bin/sh', ['-c', script]);
  return Number(process.hrtime.bigint() - start) / 1e6;
}

/** Median microseconds of a statfs(2), which no cache answers. */
function roundTrip(path: string): number {
  const samples: number[] = [];
  for (let i = 0; i < ROUND_TRIPS; i++) {
    const start = process.hrtime.bigint();
    statfsSync(path);
    samples.push(Number(process.hrtime.bigint() - start) / 1e3);
  }
  return samples.sort((a, b) => a - b)[ROUND_TRIPS / 2]!;
}

function keepBest(times: Times, name: string, value: number): void {
  times.set(name, Math.min(value, times.get(name) ?? Number.POSITIVE_INFINITY));
}

function measure(
  transport: string,
  scratch: Scratch,
  tree: { lower: string; tar: string },
  times: Times,
): void {
  const [upper, work, at] = ['upper', 'work', 'mnt'].map((name) => scratch.directory(name));
  const options = `lowerdir=${tree.lower},upperdir=${upper},workdir=${work}`;
  must(process.execPath, [CLI, '--transport', transport, '-o', options, at!]);
  try {
    keepBest(times, 'round trip (statfs) µs', roundTrip(at!));
    keepBest(times, 'find, cold ms', shell(`find ${at}`));
    keepBest(times, 'find, warm ms', shell(`find ${at}`));
    keepBest(times, 'tar, cold ms', shell(`tar cf - -C ${at} . | cat`));
    keepBest(times, 'tar, warm ms', shell(`tar cf - -C ${at} . | cat`));
    keepBest(times, 'untar ms', shell(`mkdir ${at}/new && tar xf ${tree.tar} -C ${at}/new`));
    keepBest(times, 'rm -rf ms', shell(`rm -rf ${at}/new`));
  } finally {
    must('umount', [at!]);
  }
}

function makeTree(scratch: Scratch): { lower: string; tar: string } {
  const lower = scratch.directory('lower');
  for (let d = 0; d < DIRECTORIES; d++) {
    mkdirSync(`${lower}/d${d}`);
    for (let f = 0; f < FILES; f++) writeFileSync(`${lower}/d${d}/f${f}`, `${d} ${f}\n`.repeat(100));
  }
  const tar = `${scratch.path}/tree.tar`;
  must('tar', ['cf', tar, '-C', lower, '.']);
  return { lower, tar };
}

const runs = Number(process.argv[2] ?? 5);
const scratch = new Scratch();
try {
  const tree = makeTree(scratch);
  const all = new Map(TRANSPORTS.map((transport) => [transport, new Map() as Times]));
  for (let run = 0; run < runs; run++) {
    for (const [transport, times] of all) measure(transport, scratch, tree, times);
  }
  const when = new Date().toISOString().slice(0, 10);
  console.log(
    `${when}, Linux ${release()}, Node ${process.version}, ${DIRECTORIES * FILES} files, best of ${runs}`,
  );
  console.log(`${''.padEnd(24)}${TRANSPORTS.map((name) => name.padStart(12)).join('')}       ratio`);
  for (const [name, first] of all.get('kernel')!) {
    const second = all.get('fuse-native')!.get(name)!;
    const cells = [first, second].map((value) => value.toFixed(1).padStart(12));
    console.log(`${name.padEnd(24)}${cells.join('')}${(second / first).toFixed(1).padStart(12)}`);
  }
} finally {
  scratch.dispose();
}
