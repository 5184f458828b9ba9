/**
 * Looking again for a while before going to sleep. A caller's next request often comes some microseconds after the
 * answer; waking a sleeping thread on an idle CPU costs several times as much as the request (native-notes/threads.md).
 * Where it does not pay, because callers share the CPU or think for long, it stops by itself and tries again later.
 */

/** Looks, each one system call, before the thread sleeps: some 40 µs. */
const LOOKS = 80;
/** What one success is worth, against a failure that costs 1. */
const GAIN = 1;
const CREDIT_MAX = 8;
/** Sleeps without a try, once the credit is used up. */
const REST = 64;

export class Spin {
  #credit = CREDIT_MAX;
  #rest = 0;
  readonly #on: boolean;

  /** `on`: false where there is one CPU, which the caller needs. */
  constructor(on: boolean) {
    this.#on = on;
  }

  /** How often to look again before this sleep. */
  looks(): number {
    if (!this.#on) return 0;
    if (this.#rest > 0) {
      this.#rest--;
      return 0;
    }
    return LOOKS;
  }

  /** Something came while looking. */
  paid(): void {
    if (this.#credit < CREDIT_MAX) this.#credit += GAIN;
  }

  /** Nothing came. */
  wasted(): void {
    if (--this.#credit > 0) return;
    this.#rest = REST;
    this.#credit = 1;
  }
}
