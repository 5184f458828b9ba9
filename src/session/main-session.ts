/**
 * A session on the main thread, for a process that does nothing but serve: no second V8 has to start before the mount is
 * ready. The loop gives Node's event loop a turn whenever something waits there: a signal, a connection to the control
 * socket, the exit of a child.
 *
 * Code that runs in such a turn must not wait for the mount, which nobody serves meanwhile: no synchronous call on a path
 * that may lead into it, no umount2(2) on this thread.
 */
import { MessageChannel } from 'node:worker_threads';
import { createOverlay } from '../overlay/overlay.js';
import { UserError } from '../overlay/user-error.js';
import * as sys from '../sys/index.js';
import { Counters, type Stats } from './counters.js';
import type { FileSystemFactory, MountSession, SessionEnd, StartMessage } from './protocol.js';
import { errorOf, refusalOf } from './refusal.js';
import { Serving } from './serving.js';
import { waiting } from './waiting.js';

/** A {@link MountSession} on the thread that creates it. */
export class MainSession implements MountSession {
  readonly #counters = new Counters();
  readonly #ready = waiting<void>();
  readonly #closed = waiting<SessionEnd>();
  readonly #createOverlay: FileSystemFactory;

  /** `factory`: makes the filesystem to serve; replaced in tests. */
  constructor(factory: FileSystemFactory = createOverlay) {
    this.#createOverlay = factory;
  }

  get ready(): Promise<void> {
    return this.#ready.promise;
  }

  get closed(): Promise<SessionEnd> {
    return this.#closed.promise;
  }

  stats(): Stats {
    return this.#counters.read();
  }

  /** Answers INIT before it returns. */
  start(message: StartMessage): void {
    // This thread is about to get a working directory of its own; the others would keep the one we were started in busy.
    process.chdir('/');
    try {
      this.#turn(
        new Serving(message, {
          createOverlay: this.#createOverlay,
          counters: this.#counters,
          events: new sys.EventLoop(),
          onReady: () => this.#ready.resolve(),
        }),
      );
    } catch (error) {
      const refusal = refusalOf(error);
      this.#ready.reject(errorOf(refusal));
      this.#closed.resolve({ reason: 'failed', text: refusal.text });
    }
  }

  /** Nothing to undo: nothing happens before {@link start}. */
  async discard(): Promise<void> {}

  /** Runs the loop until it ends, with turns of the event loop in between. */
  #turn(serving: Serving): void {
    const { port1, port2 } = new MessageChannel();
    const run = (): void => {
      const end = serving.run();
      if (end === null) {
        // Immediates run last in a turn, so everything that was waiting has been served by then. A referenced one would make
        // uv_backend_timeout() return 0 while it runs; instead, the message keeps the turn from blocking.
        setImmediate(run).unref();
        port1.postMessage(null);
        return;
      }
      port1.close();
      this.#ready.reject(new UserError(end.text === '' ? 'the mount ended before it was ready.' : end.text));
      this.#closed.resolve(end);
    };
    port2.on('message', () => {});
    run();
  }
}
