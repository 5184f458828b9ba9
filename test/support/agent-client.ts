/** The test's side of agent.ts: one child process, requests with a time limit. */
import { type ChildProcess, spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { AgentReply, AgentRequest, StepReport, StepsRequest } from './agent.js';
import { killGroup, PATIENCE } from './exec.js';
import type { Snapshot, SnapshotOptions } from './snapshot.js';

const PROGRAM = fileURLToPath(new URL('./agent.js', import.meta.url));

export class Agent {
  #child: ChildProcess | null = null;
  #waiting: ((reply: AgentReply) => void) | null = null;
  readonly #onTimeout: () => void;

  /** `onTimeout` must free a process that is stuck in a mount, for example by aborting its connection. */
  constructor(onTimeout: () => void) {
    this.#onTimeout = onTimeout;
  }

  async steps(request: Omit<StepsRequest, 'do'>, timeout = PATIENCE): Promise<StepReport[]> {
    return (await this.#ask({ do: 'steps', ...request }, timeout)) as StepReport[];
  }

  async snapshot(directory: string, options: SnapshotOptions, timeout = PATIENCE): Promise<Snapshot> {
    return (await this.#ask({ do: 'snapshot', directory, options }, timeout)) as Snapshot;
  }

  /** Ends the child. */
  dispose(): void {
    this.#child?.stdin?.end();
    const pid = this.#child?.pid;
    this.#child = null;
    killGroup(pid);
  }

  #start(): ChildProcess {
    const child = spawn(process.execPath, [PROGRAM], {
      cwd: '/',
      stdio: ['pipe', 'pipe', 'inherit'],
      detached: true,
    });
    createInterface({ input: child.stdout }).on('line', (line) => {
      this.#settle(JSON.parse(line) as AgentReply);
    });
    child.stdin.on('error', () => {});
    child.on('exit', (code, signal) => {
      if (this.#child === child) this.#child = null;
      this.#settle({ error: `the agent ended (${signal ?? code})` });
    });
    return child;
  }

  #settle(reply: AgentReply): void {
    const waiting = this.#waiting;
    this.#waiting = null;
    waiting?.(reply);
  }

  async #ask(request: AgentRequest, timeout: number): Promise<unknown> {
    this.#child ??= this.#start();
    const child = this.#child;
    const reply = await new Promise<AgentReply>((resolve) => {
      const timer = setTimeout(() => {
        this.#onTimeout();
        killGroup(child.pid);
        this.#child = null;
        this.#settle({ error: `no answer in ${timeout} ms: ${JSON.stringify(request).slice(0, 300)}` });
      }, timeout);
      this.#waiting = (value) => {
        clearTimeout(timer);
        resolve(value);
      };
      child.stdin?.write(`${JSON.stringify(request)}\n`);
    });
    if ('error' in reply) throw new Error(reply.error);
    return reply.ok;
  }
}
