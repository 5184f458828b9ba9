/** Child processes with a hard time limit. A test touches a mount only through one of these, never by itself. */
import { spawn } from 'node:child_process';

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
  /** Exit code; 128 + signal number is not faked: a killed process has -1. */
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
  readonly timedOut: boolean;
}

const DEFAULT_TIMEOUT = 20_000;

/** Runs a program to its end. Never rejects: what went wrong is in the result. Output is latin1, one char a byte. */
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
  }, options.timeout ?? DEFAULT_TIMEOUT);
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

/** Waits until no process has `text` on its command line. */
export async function processGone(text: string): Promise<void> {
  for (let i = 0; i < 100; i++) {
    const { code } = await run('pgrep', ['-f', text]);
    if (code !== 0) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`a process for ${text} is left`);
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
