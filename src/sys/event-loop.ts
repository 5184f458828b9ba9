/** Node's event loop of the main thread, from outside: the libuv interface for embedding, which Electron uses, too. */
import { nativeOfNode } from './ffi.js';

/** What our own loop on the main thread needs in order to share it with Node's. */
export class EventLoop {
  /** Readable when an event is waiting: a signal, a connection, the exit of a child, a message from another thread. */
  readonly fd: number;
  readonly #timeout: () => number;

  /** Only on the main thread: a worker's loop is not accessible. */
  constructor() {
    const loop = nativeOfNode('void *', 'uv_default_loop', [])();
    this.fd = nativeOfNode('int', 'uv_backend_fd', ['void *'])(loop);
    const call = nativeOfNode('int', 'uv_backend_timeout', ['void *']);
    this.#timeout = () => call(loop);
  }

  /** Milliseconds until the loop must run even without an event; 0: now, work is pending; -1: never. */
  timeout(): number {
    return this.#timeout();
  }
}
