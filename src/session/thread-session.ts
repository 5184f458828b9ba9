/** The session thread, as the main thread sees it. */
import { Worker } from 'node:worker_threads';
import { UserError } from '../overlay/user-error.js';
import { Counters, type Stats } from './counters.js';
import type { MountSession, SessionData, SessionEnd, SessionMessage, StartMessage } from './protocol.js';
import { errorOf } from './refusal.js';
import { waiting } from './waiting.js';

/** Milliseconds that a thread may take to exit after its last message. */
const EXIT_PATIENCE = 5000;

/**
 * Size of the session thread's young generation. By default it may grow to three times 16 MB in a long walk, as much as 150,000
 * nodes take, and stays that large; nodes are copied out of it twice whatever its size.
 */
const YOUNG_GENERATION_MB = 6;

/**
 * A session on its own thread, for a process that has other work to do. It is created early, so that it loads its code while
 * the main thread opens layers and mounts, and started once with {@link start}. It can't be terminated while it sleeps in
 * poll(2): it ends with the mount.
 */
export class ThreadSession implements MountSession {
  readonly #worker: Worker;
  readonly #counters = new Counters();
  readonly #ready = waiting<void>();
  readonly #closed = waiting<SessionEnd>();
  #ended: SessionEnd | null = null;

  /** Starts the thread; `filesystem` is the URL of a module with a `createOverlay` (tests), null: the overlay. */
  constructor(filesystem: string | null = null) {
    const workerData: SessionData = { filesystem, counters: this.#counters.shared };
    this.#worker = new Worker(new URL('./thread-main.js', import.meta.url), {
      workerData,
      name: 'plyfs-session',
      resourceLimits: { maxYoungGenerationSizeMb: YOUNG_GENERATION_MB },
    });
    this.#worker.on('message', (message: SessionMessage) => this.#hear(message));
    this.#worker.on('error', (error) => this.#end('failed', `the session thread crashed: ${error.stack}`));
    this.#worker.on('exit', (code) => {
      this.#end('failed', `the session thread ended with code ${code}.`);
      if (this.#ended !== null) this.#closed.resolve(this.#ended);
    });
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  get closed(): Promise<SessionEnd> {
    return this.#closed.promise;
  }

  start(message: StartMessage): void {
    this.#worker.postMessage(message);
  }

  /**
   * Ends a thread that was never started, and waits for its exit. It is not terminated: while it loads native code, that would
   * abort the process. Nor may the process exit meanwhile, which terminates threads as well.
   */
  async discard(): Promise<void> {
    this.#worker.postMessage(null);
    await this.#closed.promise;
  }

  stats(): Stats {
    return this.#counters.read();
  }

  #hear(message: SessionMessage): void {
    switch (message.kind) {
      case 'ready':
        this.#ready.resolve();
        break;
      case 'refused':
        this.#ready.reject(errorOf(message));
        this.#end('failed', message.text);
        break;
      case 'ended':
        this.#end(message.end.reason, message.end.text);
        break;
    }
  }

  #end(reason: SessionEnd['reason'], text: string): void {
    if (this.#ended !== null) return;
    this.#ended = { reason, text };
    const sentence = text === '' ? 'the mount ended before it was ready.' : text;
    this.#ready.reject(new UserError(sentence));
    // Closed means that the thread is gone: a process that exits earlier terminates it, which aborts inside a native call.
    setTimeout(() => this.#closed.resolve({ reason, text }), EXIT_PATIENCE).unref();
  }
}
