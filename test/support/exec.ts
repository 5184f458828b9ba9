/** Child processes with a hard time limit. A test touches a mount only through one of these, never by itself. */
import { spawn } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';

export interface RunOptions {
  readonly cwd?: string;
  readonly input?: string;
  readonly env?: Readonly<Record<string, string>>;
  /** Milliseconds before the process group is killed. */
  readonly timeout?: number;
  /** Called on a timeout before the kill: aborts the mount a process may be stuck in. */
  readonly onTimeout?: () => void;
}

export interface RunResult {
  /** Exit code; -1 for a killed process, not 128 + signal number. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

/** Milliseconds after which a process counts as stuck: many times what the slowest busy machine needs. */
export const PATIENCE = 60_000;

/** Runs a program to its end. Never rejects: failures are in the result. Output is latin1, one char a byte. */
export function run(command: string, args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  const { promise, resolve } = withResolvers<RunResult>();
  const child = spawn(command, args, {
    cwd: options.cwd ?? '/',
    env: { ...process.env, LC_ALL: 'C', ...options.env },
    stdio: ['pipe', 'pipe', 'pipe'],
    detached: true,
  });
  let stdout = '';
  let stderr = '';
  let timedOut = false;
  let grace: NodeJS.Timeout | undefined;
  const finish = (code: number): void => {
    clearTimeout(timer);
    clearTimeout(grace);
    resolve({ code, stdout, stderr, timedOut });
  };
  const timer = setTimeout(() => {
    timedOut = true;
    options.onTimeout?.();
    killGroup(child.pid);
    // A process stuck in the kernel does not die: its output pipes would keep this promise open for ever.
    grace = setTimeout(() => finish(-1), 2000);
  }, options.timeout ?? PATIENCE);
  child.stdout.setEncoding('latin1').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('latin1').on('data', (text: string) => {
    stderr += text;
  });
  child.on('error', (error) => {
    stderr += `${error.message}\n`;
    finish(-1);
  });
  child.on('close', (code) => finish(code ?? -1));
  child.stdin.on('error', () => {});
  child.stdin.end(options.input ?? '');
  return promise;
}

/** Runs a script with /bin/sh. */
export function sh(script: string, options: RunOptions = {}): Promise<RunResult> {
  return run('/bin/sh', ['-c', script], options);
}

/** Like {@link run}, but anything except exit code 0 is an error that shows the output. */
export async function must(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<string> {
  const result = await run(command, args, options);
  if (result.code !== 0) {
    const why = result.timedOut ? 'did not end in time' : `ended with ${result.code}`;
    throw new Error(`${command} ${args.join(' ')} ${why}\n${result.stdout}${result.stderr}`);
  }
  return result.stdout;
}

/** Asks until the answer is true; the error of a timeout names `what` did not happen. */
export async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const end = Date.now() + PATIENCE;
  while (!(await holds())) {
    if (Date.now() > end) throw new Error(`not in ${PATIENCE / 1000} s: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The processes that have `text` on their command line, words separated by spaces; not those that are ending. */
export function processesWith(text: string): number[] {
  const pids = readdirSync('/proc').filter((name) => /^\d+$/.test(name));
  return pids.filter((pid) => commandLine(pid).includes(text)).map(Number);
}

function commandLine(pid: string): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'latin1').replaceAll('\0', ' ');
  } catch {
    // It has ended.
    return '';
  }
}

/** Waits until no process has `text` on its command line. It may hold files for a moment longer. */
export function processGone(text: string): Promise<void> {
  return until(`the end of the processes for ${text}`, () => processesWith(text).length === 0);
}

export function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, 'SIGKILL');
  } catch {
    // The group is gone already.
  }
}

function withResolvers<T>(): { promise: Promise<T>; resolve: (value: T) => void } {
  let resolve: (value: T) => void = () => {};
  const promise = new Promise<T>((done) => {
    resolve = done;
  });
  return { promise, resolve };
}
