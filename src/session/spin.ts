/**
 * Looking again for a while before going to sleep. A caller's next request often comes some microseconds after the
 * answer; waking a sleeping thread on an idle CPU costs several times as much as the request (native-notes/threads.md).
 * Where it does not pay, because callers think for longer, it stops by itself and tries again later.
 */

/** Milliseconds of looking before the thread sleeps: what programs do between two calls mostly takes less. */
const PATIENCE = 0.25;
/** Looks, each one system call, between two glances at the clock. */
const STRIDE = 16;
/** What one success is worth, against a failure that costs 1. */
const GAIN = 1;
const CREDIT_MAX = 8;
/** Sleeps without a try, once the credit is used up. */
const REST = 64;

/** Decides whether to look again before the thread sleeps, by what looking gained so far. */
export class Spin {
  #credit = CREDIT_MAX;
  #rest = 0;
  readonly #on: boolean;

  /** `on`: false where there is one CPU, which the caller needs. */
  constructor(on: boolean) {
    this.#on = on;
  }

  /** Calls `look` until it gives something else than `nothing`, or patience ends; or not at all. Returns its last result. */
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
