/**
 * Keeping idle CPUs awake while a caller and the session talk to each other. On a virtual machine an idle CPU halts at once,
 * and to wake the caller there costs more than all else that a request needs (native-notes/threads.md). Root may ask the
 * kernel to let idle CPUs poll instead; it is asked for that only while requests come one upon the other, as all the idle
 * CPUs are busy then.
 */
import { readFileSync } from 'node:fs';
import * as sys from '../sys/index.js';

/** `keep_awake=`. `auto`: on small virtual machines, where it costs little and gains most. */
export type KeepAwakeMode = 'auto' | 'on' | 'off';

/** With more CPUs, most of those kept awake would be none of the conversation's. */
const SMALL = 4;
/**
 * The driver of KVM guests whose host says that their CPUs are theirs alone (or that were told so): there halting is dear, and
 * not to halt takes nothing from others.
 */
const GUEST_DRIVER = 'haltpoll';
const DRIVER_FILE = '/sys/devices/system/cpu/cpuidle/current_driver';

/** Requests in close succession that make a conversation. */
const CONVERSATION = 32;
/** What a pause, a look for the next request in vain, takes away from it: in requests. */
const PAUSE = 8;

/** Milliseconds without a request after which CPUs are let go. */
export const GRACE = 2;

/** Name of the cpuidle driver. `none`: there is none, and constraints have no effect; also where /sys can't be read. */
function idleDriver(): string {
  try {
    return readFileSync(DRIVER_FILE, 'latin1').trim();
  } catch {
    return 'none';
  }
}

/** Whether `mode` means yes on a machine with so many CPUs online and this cpuidle driver. */
export function keepsAwake(mode: KeepAwakeMode, cpus: number, driver: string): boolean {
  if (mode === 'off' || cpus === 1) return false;
  return mode === 'on' || (cpus <= SMALL && driver === GUEST_DRIVER);
}

/**
 * The descriptor that {@link KeepAwake} works by, or -1: nothing is kept awake. Before mounting: the mount may cover the
 * paths. `warn` gets a sentence when what was asked for can't be done.
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

/** Decides when CPUs are kept awake. Told of every request and pause by the loop. */
export class KeepAwake {
  readonly #constrain: Constrain;
  readonly #able: boolean;
  #credit = 0;
  #on = false;

  /** `fd`: of {@link openKeepAwake}; `constrain`: what is done with it. */
  constructor(fd: number, constrain: Constrain = (us) => sys.constrainCpuLatency(fd, us)) {
    this.#able = fd >= 0;
    this.#constrain = constrain;
  }

  /** Whether CPUs are kept awake now. */
  get on(): boolean {
    return this.#on;
  }

  /** A request has come. */
  request(): void {
    if (!this.#able || this.#credit === CONVERSATION) return;
    if (++this.#credit < CONVERSATION || this.#on) return;
    this.#on = true;
    this.#constrain(0);
  }

  /** None came for as long as the loop looks. */
  pause(): void {
    this.#credit -= PAUSE;
    if (this.#credit <= 0) this.release();
  }

  /** Nothing has happened for {@link GRACE}, or nothing more will. */
  release(): void {
    this.#credit = 0;
    if (!this.#on) return;
    this.#on = false;
    this.#constrain(null);
  }
}
