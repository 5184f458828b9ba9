/**
 * Going to the background. The caller waits for a process that starts the serving one: the launcher `scripts/plyfs` (a shell),
 * or, when this file was started by Node directly, a Node process that starts a second one. Either way the serving process
 * inherits a descriptor to which it writes an exit code once: `0` when the mount is ready, else that of the failure.
 */
import { closeSync, writeSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const READY_FD = 'PLYFS_READY_FD';
/** Arguments as bytes for a process that Node starts: spawn() would re-encode them. */
export const ARGUMENTS = 'PLYFS_ARGUMENTS';

/** Removes a variable from the environment, so that no child inherits it. Returns its value. */
function takeVariable(name: string): string | null {
  const value = process.env[name] ?? null;
  delete process.env[name];
  return value;
}

/** The pipe on which a caller waits for this process's exit code. */
export class ReadyPipe {
  #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** The pipe that this process was started with; null when nobody waits. */
  static find(): ReadyPipe | null {
    const fd = takeVariable(READY_FD);
    return fd === null ? null : new ReadyPipe(Number(fd));
  }

  /** Its descriptor; -1 once the exit code has been written. */
  get fd(): number {
    return this.#fd;
  }

  /** Releases the caller with an exit code. Only the first call counts. */
  report(code: number): void {
    if (this.#fd < 0) return;
    const fd = this.#fd;
    this.#fd = -1;
    try {
      writeSync(fd, `${code}\n`);
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'EPIPE')) throw error;
      // The caller was killed in the meantime; the mount stays.
    }
    closeSync(fd);
  }
}

/** The command line, as bytes, that {@link startServer} passed on; null when this process was started differently. */
export function passedArguments(): string[] | null {
  const text = takeVariable(ARGUMENTS);
  return text === null ? null : (JSON.parse(text) as string[]);
}

/** Starts the serving process with the same arguments, and resolves to the exit code that it reports. */
export async function startServer(args: readonly string[]): Promise<number> {
  const { spawn } = await import('node:child_process'); // a serving process does not need it
  const main = fileURLToPath(new URL('./main.js', import.meta.url));
  const child = spawn(process.execPath, [...process.execArgv, main, ...process.argv.slice(2)], {
    detached: true,
    stdio: ['ignore', 'inherit', 'inherit', 'pipe'],
    env: { ...process.env, [READY_FD]: '3', [ARGUMENTS]: JSON.stringify(args) },
  });
  return await new Promise((resolve) => {
    const said: Buffer[] = [];
    const pipe = child.stdio[3] as NodeJS.ReadableStream;
    pipe.on('data', (chunk: Buffer) => said.push(chunk));
    pipe.on('close', () => resolve(Number(Buffer.concat(said).toString() || '1')));
    child.on('error', () => resolve(1));
  });
}
