/** Descriptors opened on the way to a mount. */
import { close } from '../sys/index.js';

/** Descriptors that are closed together when a later step fails. */
export class Descriptors {
  readonly #fds: number[] = [];

  /** Takes over an open descriptor and returns it. */
  add(fd: number): number {
    this.#fds.push(fd);
    return fd;
  }

  /** All of them. */
  list(): readonly number[] {
    return this.#fds;
  }

  /** Closes all, the last opened first. */
  closeAll(): void {
    for (const fd of this.#fds.reverse()) close(fd);
    this.#fds.length = 0;
  }
}
