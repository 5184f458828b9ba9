/**
 * The session thread follows its caller to the same CPU.
 *
 * A request whose caller and server sleep on different CPUs pays for waking an idle CPU twice, which is several times
 * the cost of the request itself; on one CPU the two just take turns (measured: native-notes/threads.md). The
 * scheduler prefers the idle CPU, so the thread is pinned, and the pin moves when the caller does.
 */
import * as sys from '../sys/index.js';

/** Requests between two looks at where the caller runs: a look costs four system calls. */
const LOOK_EVERY = 32;
/** Field of /proc/PID/stat, counted from the one after the command's closing parenthesis: the CPU last run on. */
const PROCESSOR_FIELD = 36;
const CLOSING = 41;
const SPACE = 32;

/** Keeps the calling thread on the CPU of whoever sends requests. */
export class Follower {
  readonly #stat = Buffer.alloc(1024);
  #countdown = LOOK_EVERY;
  #cpu = -1;
  /** Callers can't be seen (another pid namespace) or CPUs not be chosen: it stays where the scheduler puts it. */
  #off: boolean;

  /** `enabled`: false leaves the thread to the scheduler. */
  constructor(enabled: boolean) {
    this.#off = !enabled;
  }

  /** Called for each request with the caller's pid (0: not known). */
  request(pid: number): void {
    if (this.#off || --this.#countdown > 0) return;
    this.#countdown = LOOK_EVERY;
    if (pid === 0) return;
    const cpu = this.#cpuOf(pid);
    if (cpu < 0 || cpu === this.#cpu) return;
    if (sys.setAffinity(0, cpu) < 0) this.#off = true;
    this.#cpu = cpu;
  }

  #cpuOf(pid: number): number {
    const fd = sys.openat(sys.AT_FDCWD, `/proc/${pid}/stat`, sys.O_RDONLY | sys.O_CLOEXEC);
    if (fd < 0) return fd;
    const length = sys.pread(fd, this.#stat, this.#stat.length, 0);
    sys.close(fd);
    return length < 0 ? length : parseCpu(this.#stat, length);
  }
}

/** The CPU in the text of /proc/PID/stat; -1 when it is not there. The command's name may hold anything. */
export function parseCpu(text: Buffer, length: number): number {
  let at = text.lastIndexOf(CLOSING, length - 1);
  if (at < 0) return -1;
  for (let spaces = 0; spaces <= PROCESSOR_FIELD; at++) {
    if (at >= length) return -1;
    if (text[at] === SPACE) spaces++;
  }
  let cpu = 0;
  for (; at < length && text[at] !== SPACE; at++) cpu = cpu * 10 + text[at]! - 48;
  return cpu;
}
