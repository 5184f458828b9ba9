/** The two filesystems under test behind one interface: kernel overlayfs (the oracle) and plyfs (the subject). */
import { closeSync, existsSync, openSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { LIMITS, type Limit } from '../../src/fuse-native/capabilities.js';
import { loadFuse } from '../../src/fuse-native/load.js';
import { loadLibrary } from '../../src/sys/library.js';
import { must, PATIENCE, processesWith, type RunOptions, type RunResult, run } from './exec.js';
import { featuresMissing, isRoot, mayMount, Scratch } from './scratch.js';

export interface Stack {
  /** Lower directories, top first. */
  readonly lower: readonly string[];
  /** How many of the lowest of them are data-only layers. */
  readonly data?: number;
  readonly upper: string | null;
  readonly work: string | null;
  /** Further mount options, e.g. `redirect_dir=on`. */
  readonly options?: readonly string[];
}

export interface Mounted {
  readonly path: string;
  /** Frees processes that hang in the mount. */
  readonly abort: () => void;
  /** Unmounts; an error when that is impossible. */
  unmount(): Promise<void>;
}

export interface Driver {
  readonly name: 'kernel' | 'plyfs' | 'plyfs by fuse-native';
  /** Why the driver lacks a capability; null when it has it. */
  lacks(limit: Limit): string | null;
  /** Why the driver can't run here; null when it can. */
  unavailable(): Promise<string | null>;
  mount(stack: Stack, at: string): Promise<Mounted>;
}

const CLI = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));

/** `mount -o` text of a stack; `:` and `,` in paths are escaped as overlayfs requires. */
export function optionText(stack: Stack): string {
  const escaped = (path: string): string => path.replace(/[\\:,]/g, (char) => `\\${char}`);
  const merged = stack.lower.length - (stack.data ?? 0);
  const lowers = stack.lower.map((path, i) => `${i === 0 ? '' : i < merged ? ':' : '::'}${escaped(path)}`);
  const parts = [`lowerdir=${lowers.join('')}`];
  if (stack.upper !== null)
    parts.push(`upperdir=${escaped(stack.upper)}`, `workdir=${escaped(stack.work ?? '')}`);
  return [...parts, ...(stack.options ?? [])].join(',');
}

/** Error messages of programs about a mount or layers that are still in use for a moment. */
const PASSES = /busy|already mounted|is in use by another plyfs mount/;

/** Repeats a program as long as it fails for such a temporary reason. */
async function patiently(command: string, args: readonly string[], options: RunOptions): Promise<RunResult> {
  const end = Date.now() + PATIENCE;
  for (;;) {
    const result = await run(command, args, options);
    if (result.code === 0 || !PASSES.test(result.stderr) || Date.now() > end) return result;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}

async function unmountAt(path: string, abort: () => void): Promise<void> {
  const { code, stderr } = await patiently('umount', [path], { onTimeout: abort });
  if (code === 0) return;
  abort();
  await run('umount', ['-l', path]);
  throw new Error(`could not unmount ${path}: ${stderr}`);
}

/** Options that turn the build-time defaults of the kernel's overlayfs into those of upstream. */
function kernelDefaults(options: readonly string[]): string[] {
  const set: string[] = [];
  for (const name of ['redirect_dir', 'index', 'metacopy']) {
    const parameter = `/sys/module/overlay/parameters/${name}`;
    const on = existsSync(parameter) && readFileSync(parameter, 'utf8').startsWith('Y');
    if (on && !options.some((option) => option.startsWith(`${name}=`))) set.push(`${name}=off`);
  }
  return set;
}

export const kernel: Driver = {
  name: 'kernel',
  lacks: () => null,
  unavailable: once(async () => {
    if (!isRoot) return 'kernel overlayfs can be mounted by root only';
    if (!mayMount) return 'this root may not mount (no CAP_SYS_ADMIN)';
    return probe(kernel);
  }),
  async mount(stack, at) {
    const options = [...(stack.options ?? []), ...kernelDefaults(stack.options ?? [])];
    const args = ['-t', 'overlay', 'overlay', '-o', optionText({ ...stack, options }), at];
    // With index=on the kernel refuses layers of a mount that still exists for a moment in another process' mount
    // namespace.
    const { code, stderr } = await patiently('mount', args, {});
    if (code !== 0) throw new Error(`mount ${args.join(' ')} ended with ${code}: ${stderr}`);
    const abort = (): void => {};
    return { path: at, abort, unmount: () => unmountAt(at, abort) };
  },
};

/** Why no plyfs can be mounted here by root; null when it can. */
function mountingProblem(): string | null {
  if (!isRoot) return 'these tests mount as root';
  if (!mayMount) return 'this root may not mount (no CAP_SYS_ADMIN)';
  if (!existsSync('/dev/fuse')) return 'there is no /dev/fuse';
  try {
    closeSync(openSync('/dev/fuse', 'r+'));
  } catch (error) {
    return `/dev/fuse can't be opened: ${(error as Error).message}`;
  }
  return existsSync(CLI) ? null : 'plyfs is not built: dist/src/cli/main.js is missing';
}

async function mountPlyfs(stack: Stack, at: string, more: readonly string[]): Promise<Mounted> {
  const options = optionText({ ...stack, options: [...(stack.options ?? []), ...more] });
  // The server of an earlier mount holds the layers until it ends, which is later than its unmount.
  const { code, stderr } = await patiently(process.execPath, [CLI, '-o', options, at], {});
  if (code !== 0) throw new Error(`plyfs -o ${options} ${at} ended with ${code}: ${stderr}`);
  const abort = fuseAbort(at);
  return {
    path: at,
    abort,
    unmount: async () => {
      const result = await run(process.execPath, [CLI, 'umount', at], { onTimeout: abort });
      if (result.code !== 0) await unmountAt(at, abort);
      await serverGone(at);
    },
  };
}

/**
 * Waits for the server of a mount that has ended, which holds the layers for a moment longer. Not for ever: if somebody made a
 * mount namespace meanwhile, the server lives on.
 */
async function serverGone(at: string): Promise<void> {
  const end = Date.now() + 10_000;
  while (processesWith(at).length > 0 && Date.now() < end)
    await new Promise((resolve) => setTimeout(resolve, 20));
}

export const plyfs: Driver = {
  name: 'plyfs',
  lacks: () => null,
  unavailable: once(async () => mountingProblem()),
  mount: (stack, at) => mountPlyfs(stack, at, process.env['PLYFS_TEST_OPTIONS']?.split(',') ?? []),
};

export const fuseNative: Driver = {
  name: 'plyfs by fuse-native',
  lacks: (limit) => LIMITS[limit],
  unavailable: once(async () => {
    const problem = mountingProblem();
    if (problem !== null) return problem;
    const loaded = await loadFuse(loadLibrary);
    return typeof loaded === 'string' ? loaded : null;
  }),
  mount: (stack, at) => mountPlyfs(stack, at, ['transport=fuse-native']),
};

export const drivers: readonly Driver[] = [kernel, plyfs, fuseNative];

/** Runs the plyfs command line; anything but exit code 0 is an error. */
export function plyfsCommand(args: readonly string[], options: RunOptions = {}): Promise<string> {
  return must(process.execPath, [CLI, ...args], options);
}

/** Aborts the connection of the fuse mount at `path`. */
function fuseAbort(path: string): () => void {
  return () => {
    // When that mount has ended, another one may have its number: only a mount that is here now is aborted.
    const minor = mountDevice(path);
    const file = `/sys/fs/fuse/connections/${minor}/abort`;
    if (minor !== null && existsSync(file)) writeFileSync(file, '1');
  };
}

/** Minor device number of a mount, from mountinfo: without touching the mount. */
function mountDevice(path: string): string | null {
  const mounts = readFileSync('/proc/self/mountinfo', 'latin1').trim().split('\n').reverse();
  for (const line of mounts) {
    const [, , device = '', , point] = line.split(' ');
    if (point === path) return device.split(':')[1] ?? null;
  }
  return null;
}

/** Tries a mount with one file. Resolves to null when it works, otherwise to the reason. */
async function probe(driver: Driver): Promise<string | null> {
  const scratch = new Scratch();
  try {
    const missing = featuresMissing(scratch.path);
    if (missing !== null) return missing;
    const [lower, upper, work, at] = ['lower', 'upper', 'work', 'merged'].map((name) =>
      scratch.directory(name),
    );
    const mounted = await driver.mount({ lower: [lower!], upper: upper!, work: work! }, at!);
    await mounted.unmount();
    return null;
  } catch (error) {
    return `${driver.name} can't mount here: ${(error as Error).message.trim()}`;
  } finally {
    scratch.dispose();
  }
}

function once<T>(compute: () => Promise<T>): () => Promise<T> {
  let result: Promise<T> | null = null;
  return () => {
    result ??= compute();
    return result;
  };
}

/** Names in `work/work` after unmounting: anything left there is a leak. */
export function leftovers(work: string): string[] {
  const inner = `${work}/work`;
  return existsSync(inner) ? readdirSync(inner).filter((name) => name !== 'incompat') : [];
}
