/** Client processes that outlive mounts, and are replaced when they hang. */

import { type ChildProcessByStdio, spawn } from 'node:child_process';
import { mkdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import type { Readable, Writable } from 'node:stream';
import type { ClientArgs, ClientResult } from './client-ops.js';
import type { Pin } from './options.js';
import { Failure, Hang, pinned } from './process.js';

const CLIENT = new URL('./client.js', import.meta.url).pathname;
const WARM_UP_TIMEOUT_MS = 30_000;

interface Limits {
  readonly timeoutMs: number;
  readonly onTimeout: () => void;
}

interface Pending {
  readonly resolve: (value: ClientResult) => void;
  readonly reject: (error: Error) => void;
}

class Client {
  readonly #child: ChildProcessByStdio<Writable, Readable, null>;
  #pending: Pending | null = null;

  constructor(pin: Pin) {
    const argv = pinned(pin, 'client', [process.execPath, CLIENT]);
    this.#child = spawn(argv[0]!, argv.slice(1), { stdio: ['pipe', 'pipe', 'inherit'] });
    createInterface({ input: this.#child.stdout }).on('line', (line) => this.#answered(line));
    this.#child.on('exit', () => this.#take()?.reject(new Failure('the client process died')));
  }

  request(op: string, args: ClientArgs, limits: Limits): Promise<ClientResult> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        this.#take();
        limits.onTimeout();
        reject(new Hang(`timeout: ${op}`));
      }, limits.timeoutMs);
      const settle = <T>(done: (value: T) => void) => {
        return (value: T) => {
          clearTimeout(timer);
          done(value);
        };
      };
      this.#pending = { resolve: settle(resolve), reject: settle(reject) };
      this.#child.stdin.write(`${JSON.stringify({ op, args })}\n`);
    });
  }

  kill(): void {
    this.#child.kill('SIGKILL');
  }

  #take(): Pending | null {
    const pending = this.#pending;
    this.#pending = null;
    return pending;
  }

  #answered(line: string): void {
    const { value, error } = JSON.parse(line) as { value: ClientResult; error?: string };
    const pending = this.#take();
    if (error === undefined) pending?.resolve(value);
    else pending?.reject(new Failure(error));
  }
}

export class ClientPool {
  readonly #clients = new Map<number, Promise<Client>>();
  readonly #pin: Pin;
  readonly #warmDir: string;

  constructor(pin: Pin, warmDir: string) {
    this.#pin = pin;
    this.#warmDir = warmDir;
  }

  /** Starts the first `count` clients, so that their start isn't part of what is measured. */
  async start(count: number): Promise<void> {
    await Promise.all(Array.from({ length: count }, (_, who) => this.#get(who)));
  }

  async request(who: number, op: string, args: ClientArgs, limits: Limits): Promise<ClientResult> {
    const client = await this.#get(who);
    try {
      return await client.request(op, args, limits);
    } catch (error) {
      // After a failure its state is unknown, and it may still hang.
      client.kill();
      this.#clients.delete(who);
      throw error;
    }
  }

  async dispose(): Promise<void> {
    for (const client of this.#clients.values()) (await client).kill();
    this.#clients.clear();
  }

  #get(who: number): Promise<Client> {
    let client = this.#clients.get(who);
    if (client === undefined) {
      client = this.#startOne(who);
      this.#clients.set(who, client);
    }
    return client;
  }

  async #startOne(who: number): Promise<Client> {
    const client = new Client(this.#pin);
    const root = join(this.#warmDir, `client${who}`);
    mkdirSync(root, { recursive: true });
    await client.request(
      'warmUp',
      { root },
      { timeoutMs: WARM_UP_TIMEOUT_MS, onTimeout: () => client.kill() },
    );
    rmSync(root, { recursive: true });
    return client;
  }
}
