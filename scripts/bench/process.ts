/** Child processes with a deadline. The benchmark itself never touches a mount: only its children may hang. */

import { spawn } from 'node:child_process';
import { closeSync, openSync, readFileSync, writeFileSync } from 'node:fs';
import type { Pin } from './options.js';

/** A failed step, with its text for the report; anything else thrown is a bug of the benchmark. */
export class Failure extends Error {}

/** Something didn't end in time. */
export class Hang extends Failure {}

export interface RunOptions {
  readonly timeoutMs: number;
  readonly cwd?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Called before the process is killed: must free it from what it waits for. */
  readonly onTimeout?: () => void;
  /** Its name in a failure, instead of its arguments. */
  readonly label?: string;
  /** Drop standard output; the result is empty. */
  readonly discard?: boolean;
}

const KILL_GRACE_MS = 3000;

/** Environment of every child: no locale, no user configuration that affects the measurement. */
const CHILD_ENV = { ...process.env, LC_ALL: 'C', GIT_CONFIG_GLOBAL: '/dev/null', GIT_CONFIG_NOSYSTEM: '1' };

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'ESRCH') throw error;
  }
}

/** Runs argv to its end and returns its standard output; a non-zero exit code or the deadline is a Failure. */
export function run(argv: readonly string[], options: RunOptions): Promise<string> {
  const label = options.label ?? argv.join(' ').slice(0, 120);
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0]!, argv.slice(1), {
      cwd: options.cwd,
      env: { ...CHILD_ENV, ...options.env },
      stdio: ['ignore', options.discard === true ? 'ignore' : 'pipe', 'pipe'],
      detached: true,
    });
    let out = '';
    let err = '';
    child.stdout?.setEncoding('utf8').on('data', (text: string) => {
      out += text;
    });
    child.stderr?.setEncoding('utf8').on('data', (text: string) => {
      err = (err + text).slice(-2000);
    });
    let timedOut = false;
    const timer = setTimeout(() => {
      timedOut = true;
      options.onTimeout?.();
      killGroup(child.pid);
      setTimeout(() => reject(new Hang(`hangs, and can't be killed: ${label}`)), KILL_GRACE_MS).unref();
    }, options.timeoutMs);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(new Failure(error.message));
    });
    child.on('close', (code, signal) => {
      clearTimeout(timer);
      if (timedOut) reject(new Hang(`timeout: ${label}`));
      else if (code === 0) resolve(out);
      else reject(new Failure(`${label} ended with ${signal ?? code}: ${lastLine(err)}`));
    });
  });
}

/**
 * Runs a command that may leave a server behind. Its output goes to a file, since a server that keeps a pipe open would
 * keep us waiting; resolves at the exit of the command itself.
 */
export function launch(argv: readonly string[], logFile: string, options: RunOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const log = openSync(logFile, 'a');
    const child = spawn(argv[0]!, argv.slice(1), {
      cwd: options.cwd,
      env: { ...CHILD_ENV, ...options.env },
      stdio: ['ignore', log, log],
      detached: true,
    });
    closeSync(log);
    const timer = setTimeout(() => {
      options.onTimeout?.();
      killGroup(child.pid);
      reject(new Hang(`timeout: the mount command`));
    }, options.timeoutMs);
    child.on('error', (error) => {
      clearTimeout(timer);
      reject(new Failure(error.message));
    });
    child.on('exit', (code, signal) => {
      clearTimeout(timer);
      if (code === 0) resolve();
      else
        reject(
          new Failure(`${argv[0]} ended with ${signal ?? code}: ${lastLine(readFileSync(logFile, 'utf8'))}`),
        );
    });
  });
}

function lastLine(text: string): string {
  return text.trimEnd().split('\n').at(-1)?.slice(0, 300) ?? '';
}

/** Drops the page cache (1), dentries and inodes (2), or all (3). */
export function dropCaches(what: 1 | 2 | 3): void {
  writeFileSync('/proc/sys/vm/drop_caches', String(what));
}

/** The path of a program, or null. */
export async function which(program: string): Promise<string | null> {
  try {
    return (await run(['sh', '-c', `command -v ${program}`], { timeoutMs: 5000 })).trim();
  } catch (error) {
    if (error instanceof Failure) return null;
    throw error;
  }
}

export function sleep(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** CPU of the server and of the clients. */
export function pinned(pin: Pin, who: 'server' | 'client', argv: readonly string[]): readonly string[] {
  if (pin === 'none') return argv;
  return ['taskset', '-c', who === 'client' && pin === 'split' ? '1' : '0', ...argv];
}
