/**
 * The benchmark: `npm run bench`, see options.ts for its options. The process starts itself again in
 * private mount and PID namespaces: another mount namespace would keep a server alive after its unmount, and everything that a
 * broken contender leaves behind ends with the namespace.
 */

import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ClientPool } from './client-pool.js';
import { findContenders } from './contender.js';
import { FixtureStore } from './fixtures.js';
import { createImage, type Image } from './image.js';
import { HELP, type Options, parseOptions, UsageError } from './options.js';
import { Failure, run } from './process.js';
import {
  type Circumstances,
  formatFailures,
  formatTable,
  formatVerdicts,
  headline,
  toJson,
} from './report.js';
import { Results } from './results.js';
import { runPlan } from './runner.js';
import { listScenarios, selectScenarios } from './scenarios.js';
import { FULL, QUICK } from './sizes.js';
import type { Bench } from './stage.js';
import { formatChart } from './svg.js';

const INSIDE = 'PLYFS_BENCH_INSIDE';
/** With the longest sitting added, --quick stays below its three minutes. */
const QUICK_BUDGET_S = 160;
const CLIENTS = 8;

/** Runs this program again in its own namespaces, below a shell that collects orphaned servers; returns its status. */
function insideNamespaces(): number {
  const options = ['--mount', '--propagation', 'private', '--pid', '--fork', '--mount-proc', '--kill-child'];
  const self = [process.execPath, process.argv[1]!, ...process.argv.slice(2)];
  const { status, error } = spawnSync('unshare', [...options, 'sh', '-c', '"$@"; exit $?', 'sh', ...self], {
    stdio: 'inherit',
    env: { ...process.env, [INSIDE]: '1' },
  });
  if (error !== undefined) throw error;
  return status ?? 1;
}

async function findPython(): Promise<string | null> {
  try {
    const script = 'import sys, sqlite3, mmap; print(sys.executable)';
    return (await run(['python3', '-c', script], { timeoutMs: 10_000 })).trim();
  } catch (error) {
    if (error instanceof Failure) return null;
    throw error;
  }
}

function write(file: string, text: string): void {
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, text);
}

async function measure(options: Options, image: Image): Promise<Results> {
  const contenders = await findContenders(options);
  if (contenders.length === 0) throw new UsageError('no contender is left');
  const scenarios = selectScenarios(options);
  const sizes = options.quick ? QUICK : FULL;
  const clients = new ClientPool(options.pin, join(image.root, 'warm-up'));
  const results = new Results(scenarios, contenders);
  try {
    await run(['mount', '-t', 'fusectl', 'fusectl', '/sys/fs/fuse/connections'], { timeoutMs: 5000 });
    await clients.start(CLIENTS);
    const bench: Bench = { image, clients, pin: options.pin, python: await findPython() };
    const fixtures = new FixtureStore(join(image.root, 'fixtures'), sizes);
    const budgetS = options.quick ? QUICK_BUDGET_S : null;
    await runPlan(
      { bench, scenarios, contenders, fixtures, sizes, rounds: options.rounds, budgetS },
      results,
    );
  } finally {
    await clients.dispose();
  }
  return results;
}

/** The command that repeats the measurement: all options except the names of output files. */
function commandLine(): string {
  const args = process.argv
    .slice(2)
    .join(' ')
    .replace(/--(json|svg|image-dir)[ =]\S+/g, '');
  const words = args.split(' ').filter((word) => word !== '');
  return ['npm run bench', ...(words.length > 0 ? ['--', ...words] : [])].join(' ');
}

function publish(results: Results, options: Options): void {
  const at: Circumstances = {
    command: commandLine(),
    date: new Date().toISOString().slice(0, 10),
    pin: options.pin,
    quick: options.quick,
  };
  const parts = [
    headline(results, at),
    formatTable(results),
    formatFailures(results),
    formatVerdicts(results),
  ];
  process.stdout.write(`${parts.filter((part) => part !== '').join('\n\n')}\n`);
  if (options.json !== null) write(options.json, toJson(results, at));
  if (options.svg !== null) write(options.svg, formatChart(results, at));
}

async function bench(options: Options): Promise<void> {
  const image = await createImage(options.imageDir);
  const interrupted = () => {
    void image.dispose().then(() => process.exit(130));
  };
  process.on('SIGINT', interrupted).on('SIGTERM', interrupted);
  try {
    publish(await measure(options, image), options);
  } finally {
    await image.dispose();
  }
}

async function main(): Promise<number> {
  const options = parseOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(`${HELP}\n`);
    return 0;
  }
  if (options.list) {
    process.stdout.write(`${listScenarios(selectScenarios(options))}\n`);
    return 0;
  }
  if (process.getuid?.() !== 0) throw new UsageError('needs root: loop devices, mounts and drop_caches');
  if (process.env[INSIDE] === undefined) return insideNamespaces();
  delete process.env[INSIDE];
  await bench(options);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  if (!(error instanceof UsageError) && !(error instanceof Failure)) throw error;
  process.stderr.write(`bench: ${error.message}\n`);
  process.exitCode = 2;
}
