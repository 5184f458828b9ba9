/** Waiting for descriptors: poll(2) and eventfd(2). */
import { native, result } from './ffi.js';
import { read, write } from './file.js';

const pollCall = native('int', 'poll', ['void *', 'uint64', 'int']);
const eventfdCall = native('int', 'eventfd', ['uint', 'int']);

const EFD_CLOEXEC = 0o2000000;
const EFD_NONBLOCK = 0o4000;
const POLLIN = 1;
/** Bytes of one struct pollfd: int fd, short events, short revents. */
const POLLFD = 8;

/** A fixed set of descriptors to wait on, without allocation per wait. */
export class Poller {
  readonly #count: number;
  readonly #raw: Buffer;

  /** For `quiet` descriptors only errors and hang-ups count, not readability. */
  constructor(fds: readonly number[], quiet: readonly number[] = []) {
    this.#count = fds.length;
    this.#raw = Buffer.alloc(POLLFD * fds.length);
    fds.forEach((fd, i) => {
      this.#raw.writeInt32LE(fd, i * POLLFD);
      this.#raw.writeInt16LE(quiet.includes(fd) ? 0 : POLLIN, i * POLLFD + 4);
    });
  }

  /**
   * Waits until one is readable, has an error or hung up; `timeout` in milliseconds, -1 for ever. Returns their number or -errno.
   */
  wait(timeout: number): number {
    return result(pollCall(this.#raw, this.#count, timeout));
  }

  /** Whether the descriptor at `index` had an event, including an error, which the next read reports. */
  ready(index: number): boolean {
    return this.#raw.readInt16LE(index * POLLFD + 6) !== 0;
  }
}

/** eventfd(2): a counter that another thread can raise and a {@link Poller} can wait for. Returns a descriptor or -errno. */
export function eventfd(): number {
  return result(eventfdCall(0, EFD_CLOEXEC | EFD_NONBLOCK));
}

const one = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);
const count = Buffer.alloc(8);

/** Raises an eventfd by one. Returns 8 or -errno. */
export function eventfdSignal(fd: number): number {
  return write(fd, one, 8);
}

/** Resets an eventfd to zero. Returns 8, or -EAGAIN when it was zero. */
export function eventfdClear(fd: number): number {
  return read(fd, count, 8);
}
