/** A layer stack in a scratch directory, mounted by a driver, with everything that a test needs to know about it. */

import { rmSync } from 'node:fs';
import type { StepReport } from './agent.js';
import { Agent } from './agent-client.js';
import { type Driver, leftovers, type Mounted } from './drivers.js';
import { type RunOptions, type RunResult, sh } from './exec.js';
import { build } from './machine.js';
import type { Scratch } from './scratch.js';
import { difference, type Snapshot, snapshot } from './snapshot.js';

/**
 * Layers as steps that build them (see words.ts); lowers top first. A lower layer given as a string is a directory
 * that already exists: it is used as it is, and not checked for changes.
 */
export interface Layers {
  readonly lower: readonly (readonly string[] | string)[];
  /** How many of the lowest lowers are data-only layers. */
  readonly data?: number;
  readonly upper?: readonly string[] | null;
  readonly options?: readonly string[];
}

/** From this second on a time is "now"; layers are built with times in 2001. */
export const NOW = Math.floor(Date.now() / 1000) - 5;

export class Fixture {
  readonly scratch: Scratch;
  readonly driver: Driver;
  readonly lower: readonly string[];
  readonly upperDir: string | null;
  readonly work: string;
  readonly merged: string;
  readonly agent: Agent;
  #mounted: Mounted | null = null;
  #before: readonly Snapshot[] = [];
  readonly #watched: readonly string[];
  readonly #options: readonly string[];
  readonly #data: number;

  /** Builds the layers of a stack; {@link mount} mounts it. */
  constructor(scratch: Scratch, driver: Driver, layers: Layers) {
    this.scratch = scratch;
    this.driver = driver;
    this.#options = layers.options ?? [];
    this.#data = layers.data ?? 0;
    const watched: string[] = [];
    this.lower = layers.lower.map((steps, i) => {
      if (typeof steps === 'string') return steps;
      const directory = scratch.directory(`lower${i}`);
      watched.push(directory);
      build(directory, steps);
      return directory;
    });
    this.#watched = watched;
    const upper = layers.upper === undefined ? [] : layers.upper;
    this.upperDir = upper === null ? null : scratch.directory('upper');
    if (this.upperDir !== null) build(this.upperDir, upper ?? []);
    this.work = scratch.directory('work');
    this.merged = scratch.directory('merged');
    this.agent = new Agent(() => this.abort());
  }

  async mount(): Promise<void> {
    this.#before = this.#watched.map(fingerprint);
    await this.mountAgain(this.driver);
  }

  /** Mounts the layers as they are now, by any driver. */
  async mountAgain(driver: Driver): Promise<void> {
    const { lower, upperDir, work, merged } = this;
    const stack = {
      lower,
      data: this.#data,
      upper: upperDir,
      work: upperDir === null ? null : work,
      options: this.#options,
    };
    this.#mounted = await driver.mount(stack, merged);
  }

  async unmount(): Promise<void> {
    const mounted = this.#mounted;
    this.#mounted = null;
    await mounted?.unmount();
    // Without this it would not mount again.
    if (this.#options.includes('volatile'))
      rmSync(`${this.work}/work/incompat`, { recursive: true, force: true });
  }

  abort(): void {
    this.#mounted?.abort();
  }

  /** A shell script in the merged root (or a directory of it). */
  sh(script: string, options: RunOptions & { readonly within?: string } = {}): Promise<RunResult> {
    const cwd = options.within === undefined ? this.merged : `${this.merged}/${options.within}`;
    // The shell changes its directory itself: spawn() would touch the mount from this process.
    return sh(`cd '${cwd}' && { ${script}\n}`, { onTimeout: () => this.abort(), ...options, cwd: '/' });
  }

  steps(steps: readonly string[], look: 'each' | 'last' | 'never' = 'never'): Promise<StepReport[]> {
    return this.agent.steps({ directory: this.merged, upper: this.upperDir, steps, look, now: NOW });
  }

  /** The merged view, recorded by the agent. */
  view(within = ''): Promise<Snapshot> {
    return this.agent.snapshot(`${this.merged}${within}`, { now: NOW, view: 'merged' });
  }

  /** The raw upper layer. */
  upper(within = ''): Snapshot {
    return snapshot(`${this.upperDir}${within}`, { now: NOW, view: 'layer' });
  }

  /** What changed in the lower layers since {@link mount}: must be empty. */
  lowerChanges(): string[] {
    return this.#watched.flatMap((directory, i) => difference(this.#before[i]!, fingerprint(directory)));
  }

  /** Objects that were left in the work directory (only meaningful when unmounted). */
  leftovers(): string[] {
    return leftovers(this.work);
  }

  async dispose(): Promise<void> {
    this.agent.dispose();
    await this.unmount();
  }
}

/** Everything about a layer, including inode numbers and change times. */
export function fingerprint(directory: string): Snapshot {
  return snapshot(directory, { now: Number.MAX_SAFE_INTEGER, view: 'layer', exact: true });
}
