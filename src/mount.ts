/** The Node API: mounting from a program. */
import { escapeValue } from './overlay/option-text.js';
import { UserError } from './overlay/user-error.js';
import type { Mount } from './session/live-mount.js';
import { type LogTarget, NO_LOG } from './session/log.js';
import type { Transport } from './session/mount-options.js';
import { type MountPlan, planMount } from './session/plan.js';
import { startMount } from './session/start-mount.js';
import { ThreadSession } from './session/thread-session.js';

export type { Stats } from './session/counters.js';
export type { Mount } from './session/live-mount.js';
export type { LogLevel, LogTarget } from './session/log.js';
export type { Transport } from './session/mount-options.js';
export type { EndReason, SessionEnd } from './session/protocol.js';

/** Options of {@link mount}. Paths are ordinary strings. */
export interface MountOptions {
  /** An existing directory. */
  readonly mountpoint: string;
  /** Lower directories, topmost first. */
  readonly lower: readonly string[];
  /** Where changes go; without it the mount is read-only. */
  readonly upper?: string;
  /** A directory for plyfs's own use, on the upper's filesystem. Required with `upper`. */
  readonly work?: string;
  readonly readOnly?: boolean;
  /** How requests travel; default: `kernel`. */
  readonly transport?: Transport;
  /** First column of the mount table. */
  readonly source?: string;
  /** Further options as on the command line, e.g. `['nosuid,nodev', 'data=passthrough']`. */
  readonly options?: readonly string[];
  /** Where the log goes; default: nowhere. */
  readonly log?: LogTarget;
  /** Log one line per request and one per reply. */
  readonly trace?: boolean;
}

/** Strings are UTF-8 on disk; below this file, text has one char a byte. */
function bytesOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** A list of paths as an option value. */
function pathList(paths: readonly string[]): string {
  return paths.map((path) => escapeValue(bytesOf(path))).join(':');
}

function planFor(options: MountOptions): MountPlan {
  const words = [
    ...(options.lower.length > 0 ? [`lowerdir=${pathList(options.lower)}`] : []),
    ...(options.upper === undefined ? [] : [`upperdir=${pathList([options.upper])}`]),
    ...(options.work === undefined ? [] : [`workdir=${pathList([options.work])}`]),
    ...(options.readOnly === true ? ['ro'] : []),
    ...(options.transport === undefined ? [] : [`transport=${options.transport}`]),
    ...(options.options ?? []).map(bytesOf),
  ];
  return planMount(
    {
      options: words,
      source: options.source === undefined ? null : bytesOf(options.source),
      mountpoint: bytesOf(options.mountpoint),
      debug: options.trace === true,
    },
    options.log ?? NO_LOG,
  );
}

/** Messages from the layers below carry paths as bytes. */
function readable(error: unknown): unknown {
  if (error instanceof UserError) error.message = Buffer.from(error.message, 'latin1').toString('utf8');
  return error;
}

/**
 * Mounts an overlay and resolves once it is ready. Rejects with a {@link UserError} for what the caller can correct;
 * nothing is mounted then. This process must stay alive. While its main thread is in a synchronous call, it can't
 * handle signals or unmount.
 */
export async function mount(options: MountOptions): Promise<Mount> {
  const session = new ThreadSession(); // it loads its code while this thread opens layers and mounts
  try {
    return await startMount(planFor(options), session);
  } catch (error) {
    await session.discard();
    throw readable(error);
  }
}
