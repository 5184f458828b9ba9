/** How the layers of a command are given: by options, or by the mount point of a live mount. */
import type { Argv } from 'yargs';
import { UserError } from '../../overlay/user-error.js';
import { quoted } from '../../tools/text.js';
import { UsageError } from '../usage-error.js';
import { flag, type Parsed, path, paths, text } from './command.js';
import { layersOfMount, type MountedLayers } from './stack.js';

/** The layers that a command works on. */
export interface Layers {
  readonly lower: readonly Buffer[];
  readonly data: readonly Buffer[];
  readonly upper: Buffer | null;
  readonly work: Buffer | null;
  /** undefined: to be detected. */
  readonly userxattr: boolean | undefined;
}

/** The option for the namespace of marks. */
export function userxattrOption(y: Argv): Argv {
  return y.option('userxattr', {
    type: 'boolean',
    describe: 'marks are user.overlay.*; found out when not given',
  });
}

/** Options that name lowers. */
export function lowerOptions(y: Argv): Argv {
  return userxattrOption(y).option('lower', {
    type: 'string',
    array: true,
    nargs: 1,
    describe: 'lower directory; repeat, topmost first',
  });
}

/** Options that name a whole stack. */
export function stackOptions(y: Argv): Argv {
  return lowerOptions(y).option('upper', { type: 'string', describe: 'upper directory' });
}

/** The same, or a mount point as a positional. */
export function mountOrStack(y: Argv): Argv {
  return stackOptions(y).positional('mount', { type: 'string', describe: 'a mount point, for its layers' });
}

function optional(value: unknown): Buffer | null {
  return value === undefined ? null : path(value);
}

/** The layers named by options; null when there are none. */
export function givenLayers(parsed: Parsed): Layers | null {
  const lower = paths(parsed['lower']);
  const [upper, work] = [optional(parsed['upper']), optional(parsed['work'])];
  if (lower.length === 0 && upper === null && work === null) return null;
  return { lower, data: [], upper, work, userxattr: flag(parsed, 'userxattr') };
}

/** The layers of a live mount. */
export function mountedLayers({ lower, data, upper, work, userxattr }: MountedLayers): Layers {
  const bytes = (latin1: string): Buffer => Buffer.from(latin1, 'latin1');
  return {
    lower: lower.map(bytes),
    data: data.map(bytes),
    upper: upper === null ? null : bytes(upper),
    work: work === null ? null : bytes(work),
    userxattr,
  };
}

/** The layers of a command with {@link mountOrStack}. Throws a UserError. */
export async function layersOf(parsed: Parsed): Promise<Layers> {
  const given = givenLayers(parsed);
  const target = text(parsed['mount']);
  if (given !== null) {
    if (target !== null) throw new UsageError('name a mount point or layers, not both.');
    return given;
  }
  if (target === null) throw new UsageError('name a mount point, or layers with --lower and --upper.');
  const mounted = await layersOfMount(target);
  if (mounted === null)
    throw new UserError(`'${target}' is no overlay mount; name its layers with --lower and --upper.`);
  return mountedLayers(mounted);
}

/**
 * The upper named by a positional, with its lowers: a directory or, without `--lower`, a mount point. Throws a UserError
 * that ends with `nothing` when the mount has no upper.
 */
export async function upperOf(
  parsed: Parsed,
  positional: string,
  nothing: string,
): Promise<Layers & { upper: Buffer }> {
  const lower = paths(parsed['lower']);
  const mounted = lower.length > 0 ? null : await layersOfMount(text(parsed[positional])!);
  if (mounted === null) {
    const upper = path(parsed[positional]);
    return { lower, data: [], upper, work: null, userxattr: flag(parsed, 'userxattr') };
  }
  const { upper, ...rest } = mountedLayers(mounted);
  if (upper === null)
    throw new UserError(`the mount at '${quoted(mounted.mountpoint)}' has no upper: ${nothing}.`);
  return { upper, ...rest };
}
