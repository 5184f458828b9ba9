/** Node's event loop of the main thread, seen from outside: what Node itself embeds other loops by, and Electron Node. */
import { nativeOfNode } from './ffi.js';

/** What a loop of our own on the main thread needs to share it with Node's. */
export class EventLoop {
  /** Readable when an event waits: a signal, a connection, a child's end, an answer from another thread. */
  readonly fd: number;
  readonly #timeout: () => number;

  /** Only on the main thread: a worker's loop can't be had. */
  constructor() {
    const loop = nativeOfNode('void *', 'uv_default_loop', [])();
    this.fd = nativeOfNode('int', 'uv_backend_fd', ['void *'])(loop);
    const call = nativeOfNode('int', 'uv_backend_timeout', ['void *']);
    this.#timeout = () => call(loop);
  }

  /** Milliseconds until it has to run without an event; 0: now, for it is half-way through something; -1: never. */
  timeout(): number {
    return this.#timeout();
  }
}
