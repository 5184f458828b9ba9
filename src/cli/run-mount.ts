/** Mounting from the command line: in the foreground, in the background, or in a process started for it. */
import { splitOptions } from '../overlay/option-text.js';
import { type ReadyPipe, startServer } from './daemon.js';
import { UsageError } from './usage-error.js';

/** A mount as requested on the command line; text is latin1, one char a byte. */
export interface MountCommand {
  /** Option strings, comma-separated words, in order. */
  readonly options: readonly string[];
  readonly source: string | null;
  readonly mountpoint: string;
  readonly foreground: boolean;
  readonly debug: boolean;
  readonly logLevel: string | null;
  readonly logFile: string | null;
}

/** How this process was started. */
export interface Start {
  /** The whole command line. */
  readonly args: readonly string[];
  /** Where the exit code is reported once the mount answers; null: nobody waits. */
  readonly ready: ReadyPipe | null;
}

/** Whether a word is among the options. Part of a name with a comma, as in `lowerdir=/a\,debug`, does not count. */
function hasWord(command: MountCommand, word: string): boolean {
  return command.options.some((text) => splitOptions(text).some(({ raw }) => raw === word));
}

/** Mounts. Resolves to the exit code; in the foreground, once the mount has ended. */
export async function runMount(command: MountCommand, start: Start): Promise<number> {
  if (hasWord(command, 'remount')) {
    const { remount } = await import('./remount.js');
    await remount(command.mountpoint, command.options);
    return 0;
  }
  const debug = command.debug || hasWord(command, 'debug');
  const foreground = command.foreground || debug; // as libfuse does
  if (!foreground && start.ready === null) return await startServer(start.args);
  const { serve } = await import('./serve.js');
  return await serve({ ...command, debug, ready: foreground ? null : start.ready });
}

/** Arguments of the drop-in form: `[source] mountpoint`. */
export function sourceAndMountpoint(positionals: readonly string[]): [string | null, string] {
  const mountpoint = positionals.at(-1);
  if (mountpoint === undefined) throw new UsageError("no mount point is given; see 'plyfs --help'.");
  if (positionals.length > 2) {
    throw new UsageError(`one source and one mount point are enough: '${positionals[0]}' is too much.`);
  }
  // mount(8) turns `plyfs#` into an empty source, which the kernel rejects.
  return [(positionals.length === 2 && positionals[0]) || null, mountpoint];
}
