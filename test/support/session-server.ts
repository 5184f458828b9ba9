/** A child process that serves the test filesystem (session-main.ts), seen from a test. */
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { PATIENCE } from './exec.js';

const MAIN = fileURLToPath(new URL('./session-main.js', import.meta.url));

/** Whether something is mounted at `path`; the mount itself is not touched. */
export function isMounted(path: string): boolean {
  return readFileSync('/proc/self/mountinfo', 'latin1').includes(` ${path} `);
}

export class SessionServer {
  readonly mountpoint: string;
  readonly exited: Promise<number>;
  readonly #child: ChildProcess;
  #out = '';
  #log = '';
  #heard: () => void = () => {};

  private constructor(mountpoint: string, env: Readonly<Record<string, string>>) {
    this.mountpoint = mountpoint;
    this.#child = spawn(process.execPath, [MAIN, mountpoint], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...env },
    });
    this.#child.stdout!.setEncoding('utf8').on('data', (text: string) => {
      this.#out += text;
      this.#heard();
    });
    this.#child.stderr!.setEncoding('utf8').on('data', (text: string) => {
      this.#log += text;
    });
    this.exited = new Promise((resolve) => {
      this.#child.on('close', (code, signal) => {
        // Its log says why it ended.
        if (code !== 0) console.log(`the server was ended by ${signal ?? code}\n${this.#log}`);
        resolve(code ?? -1);
        this.#heard();
      });
    });
  }

  /** Starts a server and waits until its mount answers. */
  static async start(mountpoint: string, env: Readonly<Record<string, string>> = {}): Promise<SessionServer> {
    const server = new SessionServer(mountpoint, env);
    await server.says('ready');
    return server;
  }

  /** Starts a server that is expected to fail. */
  static startFailing(mountpoint: string, env: Readonly<Record<string, string>>): SessionServer {
    return new SessionServer(mountpoint, env);
  }

  get log(): string {
    return this.#log;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  /** Resolves to the next line that starts with `words` when it is printed; rejects if it is not. */
  async says(words: string): Promise<string> {
    const end = Date.now() + PATIENCE;
    for (;;) {
      const lines = this.#out.split('\n');
      const i = lines.slice(0, -1).findIndex((line) => line.startsWith(words));
      if (i >= 0) {
        this.#out = lines.toSpliced(i, 1).join('\n');
        return lines[i]!;
      }
      const left = end - Date.now();
      if (left <= 0 || this.#child.exitCode !== null) {
        throw new Error(`'${words}' was not said; it said '${this.#out}' and logged '${this.#log}'`);
      }
      await this.#next(left);
    }
  }

  /** Ends whatever is left of it. */
  async dispose(): Promise<void> {
    if (isMounted(this.mountpoint)) spawnSync('umount', ['-l', this.mountpoint], { timeout: 10_000 });
    this.#child.kill('SIGKILL');
    await this.exited;
  }

  #next(timeout: number): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, timeout);
      this.#heard = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }
}
