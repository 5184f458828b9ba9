/** A mount from the command line: start it, answer signals, end with it. */
import { openSync } from 'node:fs';
import { UserError } from '../overlay/user-error.js';
import type { Mount } from '../session/live-mount.js';
import { LOG_LEVELS, type LogLevel, type LogTarget, NO_LOG, openLog, stackOf } from '../session/log.js';
import { MainSession } from '../session/main-session.js';
import { planMount } from '../session/plan.js';
import { startMount } from '../session/start-mount.js';
import { ENOENT, exitNow, isSystemError } from '../sys/index.js';
import { reasonOf } from '../tools/text.js';
import type { Log } from '../vfs/log.js';
import type { ReadyPipe } from './daemon.js';
import { daemonize } from './daemonize.js';
import { printWarning } from './print.js';
import type { MountCommand } from './run-mount.js';
import { UsageError } from './usage-error.js';

/** A mount to serve in this process. */
export interface ServeRequest extends MountCommand {
  /** null: stay in the foreground. */
  readonly ready: ReadyPipe | null;
}

const STDERR = 2;
const FAILED = 1;
/** Milliseconds after a mount is ready by which everything that it needs has been loaded. */
const LOADED = 200;

function logLevel(request: ServeRequest): LogLevel {
  const given = request.logLevel ?? (request.debug ? 'debug' : 'info');
  const level = LOG_LEVELS.find((l) => l === given);
  if (level === undefined) {
    throw new UsageError(`the log level is one of ${LOG_LEVELS.join(', ')}, not '${given}'.`);
  }
  return level;
}

function logTarget(request: ServeRequest): LogTarget {
  const level = logLevel(request);
  if (request.logFile === null)
    return request.ready === null ? { fd: STDERR, level, format: 'text' } : NO_LOG;
  try {
    const fd = openSync(Buffer.from(request.logFile, 'latin1'), 'a', 0o640);
    return { fd, level, format: 'json' };
  } catch (error) {
    const rc = isSystemError(error) && 'errno' in error ? Number(error.errno) : 0;
    const why = rc === -ENOENT ? 'its directory does not exist' : reasonOf(rc);
    throw new UserError(`can't write the log file '${request.logFile}': ${why}.`);
  }
}

/**
 * SIGTERM, SIGINT and SIGHUP unmount. A busy mount stays, and the log says so; a second signal detaches it: it leaves the
 * tree at once and is served until its last open file is closed; a third ends the process regardless. SIGUSR1 logs
 * statistics.
 */
class Signals {
  readonly #log: Log;
  #mount: Mount | null = null;
  #asked = 0;

  constructor(log: Log) {
    this.#log = log;
    for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
      process.on(signal, (s) => {
        this.#asked++;
        void this.#unmount(s);
      });
    }
    // Without a listener, Node would open a debugger port on this signal.
    process.on('SIGUSR1', () => this.#log.info({ ...this.#mount?.stats() }, 'statistics'));
  }

  /** The mount is ready; a signal that arrived earlier unmounts it now. */
  mounted(mount: Mount): void {
    this.#mount = mount;
    if (this.#asked > 0) void this.#unmount('SIGTERM');
  }

  async #unmount(signal: NodeJS.Signals): Promise<void> {
    if (this.#mount === null) return;
    if (this.#asked > 2) {
      this.#log.warn({ signal }, 'ending although files are still open');
      exitNow(FAILED);
    }
    const lazy = this.#asked > 1;
    this.#log.info({ signal, lazy }, 'unmounting');
    try {
      await this.#mount.unmount({ lazy });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.#log.warn({}, `${error.message} Signal again to detach it all the same.`);
    }
  }
}

/** A bug in an event handler must not end the mount, which this thread serves between events. */
function surviveBugs(log: Log): void {
  const report = (error: unknown): void => {
    log.error({ stack: stackOf(error) }, 'a bug on the main thread');
  };
  process.on('uncaughtException', report);
  process.on('unhandledRejection', report);
}

/** Options that fuse-overlayfs takes from its environment. The command line takes precedence. */
function environmentOptions(): string[] {
  return process.env['FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT'] === undefined ? [] : ['whiteout=aufs'];
}

/**
 * Keeps V8's young generation at its present size. By default it may grow to three times 16 MB in a long walk, as much as
 * 150,000 nodes take, and stays that large. Not set from the start: V8's code caches, Node's own included, are valid only for
 * the flags they were made with (10 ms).
 */
async function keepHeapSmall(): Promise<void> {
  const { setFlagsFromString } = await import('node:v8');
  setFlagsFromString('--semi-space-growth-factor=1');
}

/** Mounts and serves until the mount ends. Resolves to the exit code. */
export async function serve(request: ServeRequest): Promise<number> {
  const target = logTarget(request);
  const log = openLog(target);
  const signals = new Signals(log);
  const devNull = openSync('/dev/null', 'r+'); // now: the mount may cover it
  const options = [...environmentOptions(), ...request.options];
  const mount = await startMount(planMount({ ...request, options }, target), new MainSession());
  surviveBugs(log);
  signals.mounted(mount);
  for (const warning of mount.warnings) {
    log.warn({}, warning);
    if (request.ready !== null) printWarning(warning);
  }
  log.info({ mountpoint: mount.mountpoint }, 'mounted');
  if (request.ready !== null) {
    daemonize(request.ready, devNull);
    request.ready.report(0);
  }
  setTimeout(() => void keepHeapSmall(), LOADED).unref();
  const end = await mount.closed;
  if (end.reason === 'unmounted') log.info({}, 'unmounted');
  else log.error({ reason: end.reason }, end.text);
  return end.reason === 'unmounted' ? 0 : FAILED;
}
