/** A mount from the command line: start it, answer signals, end with it. */
import { openSync } from 'node:fs';
import { type Mount, prepareSession, startMount } from '../mount.js';
import { UserError } from '../overlay/user-error.js';
import { LOG_LEVELS, type LogLevel, type LogTarget, NO_LOG, openLog } from '../session/log.js';
import type { Log } from '../vfs/log.js';
import { UsageError } from './arguments.js';
import { type Caller, leaveCaller } from './daemon.js';
import { planMount } from './plan.js';
import { printWarning } from './print.js';
import type { MountCommand } from './run-mount.js';

/** A mount to serve in this process. */
export interface ServeRequest extends MountCommand {
  /** null: stay in the foreground. */
  readonly caller: Caller | null;
}

const STDERR = 2;

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
    return request.caller === null ? { fd: STDERR, level, format: 'text' } : NO_LOG;
  try {
    const fd = openSync(Buffer.from(request.logFile, 'latin1'), 'a', 0o640);
    return { fd, level, format: 'json' };
  } catch (error) {
    const why = error instanceof Error && 'code' in error ? String(error.code) : String(error);
    throw new UserError(`can't write the log file ${request.logFile}: ${why}.`);
  }
}

/**
 * SIGTERM, SIGINT and SIGHUP unmount. A busy mount stays, and says so; a second signal detaches it: it leaves the
 * tree at once and ends with the last open file.
 */
function unmountOnSignals(mount: Mount, log: Log): void {
  let asked = 0;
  const onSignal = async (signal: NodeJS.Signals): Promise<void> => {
    const lazy = ++asked > 1;
    log.info({ signal, lazy }, 'unmounting');
    try {
      await mount.unmount({ lazy });
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      log.warn({}, `${error.message} Signal again to detach it all the same.`);
    }
  };
  for (const signal of ['SIGTERM', 'SIGINT', 'SIGHUP'] as const) {
    process.on(signal, (s) => void onSignal(s));
  }
}

/** Mounts and serves until the mount ends. Resolves to the exit code. */
export async function serve(request: ServeRequest): Promise<number> {
  const session = prepareSession();
  const target = logTarget(request);
  const log = openLog(target);
  const plan = planMount(request, target);
  const mount = await startMount(plan, session);
  unmountOnSignals(mount, log);
  for (const warning of mount.warnings) {
    log.warn({}, warning);
    if (request.caller !== null) printWarning(warning);
  }
  log.info({ mountpoint: mount.mountpoint }, 'mounted');
  if (request.caller !== null) {
    await leaveCaller();
    request.caller.tell(0);
  }
  const end = await mount.closed;
  if (end.reason === 'unmounted') log.info({}, 'unmounted');
  else log.error({ reason: end.reason }, end.text);
  return end.reason === 'unmounted' ? 0 : 1;
}
