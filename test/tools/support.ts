/** Shared by the tests of the tools: layers made by real overlay mounts, and the command itself. */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { type Driver, kernel, plyfs } from '../support/drivers.js';
import { must, type RunOptions, type RunResult, run, sh } from '../support/exec.js';
import type { Scratch } from '../support/scratch.js';
import { lacking } from '../support/table.js';

export const CLI = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

/** Runs the plyfs command line. */
export function tool(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return run(process.execPath, [CLI, ...args], options);
}

/** The same with `--json`; the parsed output. */
export async function toolJson<T>(args: readonly string[], options: RunOptions = {}): Promise<T> {
  const text = await must(process.execPath, [CLI, ...args, '--json'], options);
  return JSON.parse(Buffer.from(text, 'latin1').toString('utf8')) as T;
}

/** Runs a shell script that must succeed. */
export async function shell(script: string, options: RunOptions = {}): Promise<string> {
  const result = await sh(`set -e\numask 022\n${script}`, options);
  if (result.code !== 0) throw new Error(`${script}\n${result.stdout}${result.stderr}`);
  return result.stdout;
}

/** Directories of a stack. */
export interface Dirs {
  readonly lower: string;
  readonly upper: string;
  readonly work: string;
  readonly merged: string;
}

export function stackDirs(scratch: Scratch): Dirs {
  const [lower, upper, work, merged] = ['lower', 'upper', 'work', 'merged'].map((name) =>
    scratch.directory(name),
  );
  return { lower: lower!, upper: upper!, work: work!, merged: merged! };
}

/** Mounts a stack, runs a script in the merged root, and unmounts. */
export async function changed(
  dirs: Dirs,
  script: string,
  how: { driver?: Driver; options?: readonly string[]; whileMounted?: () => Promise<void> } = {},
): Promise<void> {
  const { lower, upper, work, merged } = dirs;
  const stack = { lower: [lower], upper, work, options: how.options ?? [] };
  const mounted = await (how.driver ?? kernel).mount(stack, merged);
  try {
    await shell(`cd '${merged}'\n${script}`);
    await how.whileMounted?.();
  } finally {
    await mounted.unmount();
  }
}

/** Why tests that mount can't run; null when they can. */
export async function cannotMount(): Promise<string | null> {
  return (await kernel.unavailable()) ?? (await plyfs.unavailable()) ?? lacking('setfattr', 'getfattr');
}

export function exists(path: string): boolean {
  return existsSync(path);
}
