/**
 * A session on the main thread, for a process that does nothing but serve: no second V8 has to start before the mount
 * answers. The loop lets Node's event loop have a turn whenever something waits there: a signal, a question on
 * the control socket, the end of a child.
 *
 * What runs in such a turn must not wait for the mount, which nobody serves meanwhile: no synchronous call on a path that
 * may lead into it, no umount2(2) on this thread.
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

/** {@link MountSession} on the thread that makes it. */
export class MainSession implements MountSession {
  readonly #counters = new Counters();
  readonly #ready = waiting<void>();
  readonly #closed = waiting<SessionEnd>();
  readonly #createOverlay: FileSystemFactory;

  /** `factory`: what to serve, for tests. */
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
    // This thread is going to have a directory of its own; the others would keep the one we were started in busy.
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

  /** Nothing has begun before {@link start}. */
  async discard(): Promise<void> {}

  /** Runs the loop until it ends, with turns of the event loop in between. */
  #turn(serving: Serving): void {
    const { port1, port2 } = new MessageChannel();
    const run = (): void => {
      const end = serving.run();
      if (end === null) {
        // Immediates come last in a turn: all that was there has been served by then. A referenced one would make
        // uv_backend_timeout() 0 while it runs; instead the message keeps the turn from waiting.
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
