/** `plyfs run`: runs a command in a throw-away view of this machine, or of any layers, and reports what it changed. */
import { isUtf8 } from 'node:buffer';
import {
  chmodSync,
  chownSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statfsSync,
  statSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { type Mount, mount } from '../mount.js';
import { workingDirectory } from '../overlay/absolute-path.js';
import { UserError } from '../overlay/user-error.js';
import { isSystemError } from '../sys/errno.js';
import { apply } from '../tools/apply.js';
import { type Change, type DiffSummary, diff } from '../tools/diff.js';
import { tried } from '../tools/text.js';
import { filesOver, mountsToCover } from './machine.js';
import { exitCodeOf, startSandbox } from './sandbox.js';

/** What happens to the changes: applied to the lower, kept in a directory, or dropped. */
export type Fate = 'commit' | 'keep' | 'drop';

/** A command, the view that it runs in, and what happens to its changes. */
export interface RunOptions {
  /** The program and its arguments, passed to no shell. */
  readonly command: readonly string[];
  /** Lower directories, topmost first; default: this machine's root, with its other filesystems. */
  readonly lower?: readonly string[];
  /** Where changes are stored; it is kept. Default: a temporary directory. */
  readonly upper?: string;
  /** Keep the upper. */
  readonly keep?: boolean;
  /** Apply the changes to the topmost lower, which is this machine's root by default. */
  readonly commit?: boolean;
  /**
   * Called to decide what happens to the changes, if there are any and none of `keep`, `commit` and `upper` is given. Default:
   * they are dropped.
   */
  readonly decide?: (made: Pick<RunResult, 'changes' | 'summary'>) => Promise<Fate>;
  /** Make the view read-only. */
  readonly readOnly?: boolean;
  /** Share the machine's network; default: no network. */
  readonly net?: boolean;
  /** Default: this process's, or `/` where the view does not have it. */
  readonly cwd?: string;
  /** Default: this process's. */
  readonly env?: NodeJS.ProcessEnv;
  /** Where a temporary upper is made; default: a place that can hold one. */
  readonly scratch?: string;
  /** `ignore`: the command's output is dropped. */
  readonly output?: 'inherit' | 'ignore';
}

/** How the command ended, and what it changed. */
export interface RunResult {
  /** As in a shell: 128 plus the signal number for a command ended by a signal. */
  readonly exitCode: number;
  readonly changes: readonly Change[];
  readonly summary: DiffSummary;
  /** Where the changes are kept, one directory per covered filesystem; null when they are not kept. */
  readonly kept: readonly { readonly path: string; readonly upper: string }[] | null;
  readonly committed: boolean;
}

/** One overlay of the view: at the root, or at another filesystem of the machine. */
interface Covered {
  /** Path in the view; "" for the root. */
  readonly at: string;
  readonly lower: readonly string[];
  readonly upper: string;
  readonly work: string;
}

/** This process's working directory. Throws a UserError when it is gone, or its name is not UTF-8. */
function ownDirectory(): string {
  const path = workingDirectory();
  if (!isUtf8(Buffer.from(path, 'latin1')))
    throw new UserError("can't run in a directory whose name is no UTF-8; change to another one first.");
  return tried('run in the working directory', path, () => process.cwd());
}

const OVERLAY_MAGIC = 0x794c7630;

/** A new directory that can hold an upper, so not on an overlay. Throws a UserError. */
function scratchDirectory(given: string | undefined): string {
  if (given !== undefined)
    tried('use the scratch directory', Buffer.from(given).latin1Slice(), () => statfsSync(given));
  for (const base of given === undefined ? [tmpdir(), '/var/tmp', '/dev/shm'] : [given]) {
    try {
      // Absolute, because the sandbox is made from another working directory.
      if (statfsSync(base).type !== OVERLAY_MAGIC) return mkdtempSync(resolve(base, 'plyfs-run-'));
    } catch (error) {
      if (!isSystemError(error)) throw error;
    }
  }
  throw new UserError(
    'no place for changes was found: name a directory that is on no overlay with --scratch.',
  );
}

/** Options with a working directory. */
type Settled = RunOptions & { readonly cwd: string };

/** A work directory for an upper given by the caller: on its filesystem, and new, since it is removed in the end. */
function workBeside(upper: string): string {
  const path = Buffer.from(upper).latin1Slice();
  tried('create', path, () => mkdirSync(upper, { recursive: true }));
  return tried('use', path, () => mkdtempSync(`${upper.replace(/\/+$/, '')}.plyfs-work-`));
}

function plan(options: Settled, scratch: string, workOfUpper: string | null): Covered[] {
  const place = (n: number): { upper: string; work: string } => {
    const [upper, work] = [`${scratch}/upper${n}`, `${scratch}/work${n}`];
    for (const dir of [upper, work]) mkdirSync(dir);
    return { upper, work };
  };
  const { lower, upper } = options;
  const first = place(0);
  if (upper !== undefined && workOfUpper !== null) {
    first.upper = upper;
    first.work = workOfUpper;
  }
  const covered = [{ at: '', lower: lower ?? ['/'], ...first }];
  if (lower === undefined) {
    const others = mountsToCover(options.cwd);
    covered.push(...others.map((at, i) => ({ at, lower: [at], ...place(i + 1) })));
  }
  for (const one of covered) if (one.upper !== upper) likeRoot(one.upper, one.lower[0]!);
  return covered;
}

/** Gives a new upper the mode and owner of the directory that it covers: they are what callers see at its root. */
function likeRoot(upper: string, lower: string): void {
  const { mode, uid, gid } = tried('use the lower', Buffer.from(lower).latin1Slice(), () => statSync(lower));
  try {
    if (process.geteuid!() === 0) chownSync(upper, uid, gid);
  } catch (error) {
    // In a user namespace the owner may have no id: then the upper keeps its creator as its owner.
    if (!(error instanceof Error && 'code' in error && error.code === 'EINVAL')) throw error;
  }
  chmodSync(upper, mode & 0o7777);
}

async function mountAll(covered: readonly Covered[], root: string, readOnly: boolean): Promise<Mount[]> {
  const mounts: Mount[] = [];
  try {
    for (const { at, lower, upper, work } of covered) {
      // The view may not have it: a filesystem can be mounted where the root, as a lower, has no directory for it.
      if (at !== '' && statSync(`${root}${at}`, { throwIfNoEntry: false })?.isDirectory() !== true) continue;
      const writable = readOnly ? {} : { upper, work };
      mounts.push(await mount({ mountpoint: `${root}${at}`, lower, ...writable, source: 'plyfs-run' }));
    }
    return mounts;
  } catch (error) {
    await unmountAll(mounts);
    throw error;
  }
}

/** By force: the command has ended, but a mount namespace made meanwhile may have copies of the mounts. */
async function unmountAll(mounts: readonly Mount[]): Promise<void> {
  for (const one of mounts.toReversed()) await one.unmount({ force: true });
}

/** Without privilege every copy belongs to the user who made it, so a change of owner says nothing about the command. */
function ownsAllCopies(): boolean {
  return (
    process.geteuid!() !== 0 || /^\s*\d+\s+\d+\s+1\s*$/.test(readFileSync('/proc/self/uid_map', 'latin1'))
  );
}

function withoutOwner(change: Change): Change[] {
  if (change.kind !== 'changed') return [change];
  const what = (change.what ?? []).filter((one) => one !== 'owner');
  return what.length === 0 ? [] : [{ ...change, what }];
}

/** All changes, with the paths of the view. */
function changesOf(covered: readonly Covered[]): Pick<RunResult, 'changes' | 'summary'> {
  const results = covered.map(({ at, lower, upper }) => ({ at: at.slice(1), ...diff({ lower, upper }) }));
  const all = results.flatMap(({ at, changes: own }) =>
    own.map((change) => ({
      ...change,
      path: at === '' ? change.path : join(at, change.path),
      ...(change.from === undefined || at === '' ? {} : { from: `${at}/${change.from}` }),
    })),
  );
  const changes = ownsAllCopies() ? all.flatMap(withoutOwner) : all;
  const summary = { ...results[0]!.summary };
  for (const { summary: more } of results.slice(1)) {
    for (const key of Object.keys(more) as (keyof DiffSummary)[])
      (summary as Record<string, number>)[key]! += more[key];
  }
  return { changes, summary: { ...summary, changed: summary.changed - (all.length - changes.length) } };
}

const NO_CHANGES: Pick<RunResult, 'changes' | 'summary'> = {
  changes: [],
  summary: {
    added: 0,
    changed: 0,
    deleted: 0,
    replaced: 0,
    renamed: 0,
    unchanged: 0,
    bytesAdded: 0,
    bytesRemoved: 0,
    bytesUnchanged: 0,
  },
};

async function runIn(options: Settled, covered: readonly Covered[], root: string): Promise<number> {
  const mounts = await mountAll(covered, root, options.readOnly === true);
  // Signals of the terminal reach the command directly: it handles them, and this process cleans up after it.
  const ignore = (): void => {};
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) process.on(signal, ignore);
  try {
    const child = startSandbox({
      root,
      cwd: options.cwd,
      command: options.command,
      net: options.net === true,
      files: options.lower === undefined ? filesOver() : [],
      env: options.env ?? process.env,
      stdio: options.output === 'ignore' ? 'pipe' : 'inherit',
    });
    child.stdout?.resume();
    child.stderr?.resume();
    const end = (): void => void child.kill('SIGTERM');
    process.on('SIGTERM', end);
    try {
      return await exitCodeOf(child);
    } finally {
      process.off('SIGTERM', end);
    }
  } finally {
    for (const signal of ['SIGINT', 'SIGQUIT'] as const) process.off(signal, ignore);
    await unmountAll(mounts);
  }
}

async function fateOf(options: RunOptions, made: Pick<RunResult, 'changes' | 'summary'>): Promise<Fate> {
  if (options.commit === true) return 'commit';
  const isSettled = options.keep === true || options.upper !== undefined || options.readOnly === true;
  if (isSettled || options.decide === undefined || made.changes.length === 0) return 'drop';
  return await options.decide(made);
}

/** Applies the changes to the lowers. A failure says where the changes are kept. */
function commit(covered: readonly Covered[]): void {
  for (const { upper, lower } of covered) {
    try {
      apply({ upper, to: lower[0]! });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      throw new UserError(`${error.message} The changes are kept in '${upper}'.`);
    }
  }
}

/**
 * The uppers that are kept after the run; null: none. First that of the root or the given one, then those of other filesystems
 * that have changes. A given one is always kept; the others only if that is wanted and there are changes (`isChanged`).
 */
function keptOf(
  covered: readonly Covered[],
  options: RunOptions,
  fate: Fate,
  isChanged: boolean,
): RunResult['kept'] {
  if (options.readOnly === true) return null;
  const isWanted = isChanged && (options.keep === true || fate === 'keep');
  if (!isWanted && options.upper === undefined) return null;
  const holdsChanges = (upper: string): boolean =>
    (isWanted || fate !== 'commit') && readdirSync(upper).length > 0;
  const all = covered.map(({ at, upper }) => ({ path: at === '' ? '/' : at, upper }));
  return all.filter(({ upper }, i) => i === 0 || holdsChanges(upper));
}

/** Removes the scratch directory of a run, except for what is kept in it. */
function tidy(scratch: string, kept: NonNullable<RunResult['kept']>): void {
  const stays = new Set(kept.map(({ upper }) => upper));
  const paths = readdirSync(scratch).map((name) => `${scratch}/${name}`);
  const left = paths.filter((path) => !stays.has(path));
  for (const path of left.length < paths.length ? left : [scratch])
    rmSync(path, { recursive: true, force: true });
}

/** Runs a command, reports its changes, and keeps, commits or drops them. Throws a UserError when it can't start. */
export async function run(given: RunOptions): Promise<RunResult> {
  if (given.command.length === 0) throw new UserError("no command is given; write it behind '--'.");
  const options = { ...given, cwd: given.cwd ?? ownDirectory() };
  const scratch = scratchDirectory(options.scratch);
  let work: string | null = null;
  let covered: readonly Covered[] = [];
  let fate: Fate = 'drop';
  let isChanged = false;
  try {
    if (options.upper !== undefined) work = workBeside(options.upper);
    covered = plan(options, scratch, work);
    const root = `${scratch}/root`;
    mkdirSync(root);
    const exitCode = await runIn(options, covered, root);
    // Assumed until it is known: a failure from here on must not lose the changes.
    isChanged = true;
    const result = options.readOnly === true ? NO_CHANGES : changesOf(covered);
    isChanged = result.changes.length > 0;
    fate = await fateOf(options, result);
    if (fate === 'commit') {
      // If it fails halfway, the changes are not lost.
      fate = 'keep';
      commit(covered);
      fate = 'commit';
    }
    return {
      exitCode,
      ...result,
      kept: keptOf(covered, options, fate, isChanged),
      committed: fate === 'commit',
    };
  } finally {
    if (work !== null) rmSync(work, { recursive: true, force: true });
    tidy(scratch, keptOf(covered, options, fate, isChanged) ?? []);
  }
}
