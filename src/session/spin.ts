/**
 * Polling for a while before going to sleep. A caller's next request often comes a few microseconds after the answer, and
 * waking a sleeping thread on an idle CPU costs several times as much as the request (native-notes/threads.md). Where polling
 * does not pay off, because callers pause for longer, it stops by itself and is tried again later.
 */

/** Milliseconds of polling before the thread sleeps: what programs do between two calls mostly takes less. */
const PATIENCE = 0.25;
/** Polls, each one system call, between two reads of the clock. */
const STRIDE = 16;
/** Credit for a success; a failure costs 1. */
const GAIN = 1;
const CREDIT_MAX = 8;
/** How often to sleep without polling once the credit is used up. */
const REST = 64;

/** Decides whether to poll before the thread sleeps, by how often polling has succeeded so far. */
export class Spin {
  #credit = CREDIT_MAX;
  #rest = 0;
  readonly #on: boolean;

  /** `on`: false on a single CPU, which the caller needs. */
  constructor(on: boolean) {
    this.#on = on;
  }

  /** Calls `look` until it returns something other than `nothing` or patience ends, or not at all. Returns its last result. */
  until(nothing: number, look: () => number): number {
    if (!this.#on) return nothing;
    if (this.#rest > 0) {
      this.#rest--;
      return nothing;
    }
    const end = performance.now() + PATIENCE;
    do {
      for (let i = 0; i < STRIDE; i++) {
        const found = look();
        if (found === nothing) continue;
        if (this.#credit < CREDIT_MAX) this.#credit += GAIN;
        return found;
      }
    } while (performance.now() < end);
    if (--this.#credit === 0) {
      this.#rest = REST;
      this.#credit = 1;
    }
    return nothing;
  }
}
