/**
 * Keeping idle CPUs awake while a caller and the session exchange requests. On a virtual machine an idle CPU halts at once,
 * and waking a caller there costs more than the rest of the request (native-notes/threads.md). Root may ask the kernel to let
 * idle CPUs poll instead. That keeps every idle CPU busy, so it is asked for only while requests come in close succession.
 */
import { readFileSync } from 'node:fs';
import * as sys from '../sys/index.js';

/** `keep_awake=`. `auto`: on small virtual machines, where it costs little and helps most. */
export type KeepAwakeMode = 'auto' | 'on' | 'off';

/** Largest number of CPUs for `auto`: with more, most of those kept awake would have no part in the conversation. */
const SMALL = 4;
/**
 * The driver of KVM guests whose host dedicates CPUs to them (or that were told so): there halting is expensive, and polling
 * takes nothing from others.
 */
const GUEST_DRIVER = 'haltpoll';
const DRIVER_FILE = '/sys/devices/system/cpu/cpuidle/current_driver';

/** Requests in close succession that make a conversation. */
const CONVERSATION = 32;
/** How many requests a pause, one fruitless wait for the next request, takes off the count. */
const PAUSE = 8;

/** Milliseconds without a request after which CPUs are let go. */
export const GRACE = 2;

/** Name of the cpuidle driver; `none` when there is none, so that constraints have no effect, or when /sys can't be read. */
function idleDriver(): string {
  try {
    return readFileSync(DRIVER_FILE, 'latin1').trim();
  } catch {
    return 'none';
  }
}

/** Whether `mode` keeps CPUs awake on a machine with so many online CPUs and this cpuidle driver. */
export function keepsAwake(mode: KeepAwakeMode, cpus: number, driver: string): boolean {
  if (mode === 'off' || cpus === 1) return false;
  return mode === 'on' || (cpus <= SMALL && driver === GUEST_DRIVER);
}

/**
 * The descriptor for {@link KeepAwake}, or -1 when nothing is to be kept awake. Call it before mounting: the mount may cover
 * these paths. `warn` gets a sentence when an explicit request can't be met.
 */
export function openKeepAwake(mode: KeepAwakeMode, warn: (text: string) => void): number {
  if (!keepsAwake(mode, sys.onlineCpus(), idleDriver())) return -1;
  const fd = sys.openCpuLatency();
  if (fd >= 0) return fd;
  if (mode === 'on') {
    warn(`keep_awake=on has no effect: /dev/cpu_dma_latency can't be opened (${sys.errnoName(fd)}).`);
  }
  return -1;
}

/** As {@link sys.constrainCpuLatency}. */
type Constrain = (microseconds: number | null) => unknown;

/** Decides when CPUs are kept awake. The loop reports every request and pause. */
export class KeepAwake {
  readonly #constrain: Constrain;
  readonly #able: boolean;
  #credit = 0;
  #on = false;

  /** `fd`: from {@link openKeepAwake}; `constrain`: applies a constraint, replaced in tests. */
  constructor(fd: number, constrain: Constrain = (us) => sys.constrainCpuLatency(fd, us)) {
    this.#able = fd >= 0;
    this.#constrain = constrain;
  }

  /** Whether CPUs are kept awake now. */
  get on(): boolean {
    return this.#on;
  }

  /** A request arrived. */
  request(): void {
    if (!this.#able || this.#credit === CONVERSATION) return;
    if (++this.#credit < CONVERSATION || this.#on) return;
    this.#on = true;
    this.#constrain(0);
  }

  /** The loop polled for a request in vain. */
  pause(): void {
    this.#credit -= PAUSE;
    if (this.#credit <= 0) this.release();
  }

  /** Nothing happened for {@link GRACE}, or the session ends. */
  release(): void {
    this.#credit = 0;
    if (!this.#on) return;
    this.#on = false;
    this.#constrain(null);
  }
}
