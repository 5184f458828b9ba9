/** A mount from the command line: start it, answer signals, end with it. */
import { openSync } from 'node:fs';
import { type Mount, type MountPlan, prepareSession, startMount } from '../mount.js';
import { UserError } from '../overlay/user-error.js';
import { type LogLevel, type LogTarget, NO_LOG, openLog } from '../session/log.js';
import type { Log } from '../vfs/log.js';
import { type Caller, leaveCaller } from './daemon.js';
import { printError } from './print.js';

/** What the command line says about a mount. */
export interface ServeRequest {
  /** Checks the options. Throws a sentence. */
  readonly plan: (log: LogTarget) => MountPlan;
  /** null: stay in the foreground. */
  readonly caller: Caller | null;
  readonly logLevel: LogLevel;
  readonly logFile: string | null;
}

const STDERR = 2;

function logTarget(request: ServeRequest): LogTarget {
  if (request.logFile !== null) {
    try {
      const fd = openSync(Buffer.from(request.logFile, 'latin1'), 'a', 0o640);
      return { fd, level: request.logLevel, format: 'json' };
    } catch (error) {
      const why = error instanceof Error && 'code' in error ? String(error.code) : String(error);
      throw new UserError(`Can't write the log file ${request.logFile}: ${why}.`);
    }
  }
  return request.caller === null ? { fd: STDERR, level: request.logLevel, format: 'text' } : NO_LOG;
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
  let mount: Mount;
  let log: Log;
  try {
    const target = logTarget(request);
    log = openLog(target);
    mount = await startMount(request.plan(target), session);
  } catch (error) {
    printError(error);
    return 1;
  }
  unmountOnSignals(mount, log);
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
