/** What is measured: a scenario is one sitting of one contender on fresh layers, and yields several measures. */

import type { Contender, Extra } from './contender.js';
import type { Fixture } from './fixtures.js';
import type { Sizes } from './sizes.js';
import type { Stage } from './stage.js';

export type Group = 'metadata' | 'small files' | 'creation' | 'copy-up' | 'I/O' | 'programs' | 'life';

export type Unit = 'ms' | 'µs' | 'MB/s' | 'ops/s' | 'MB' | 'B';

/** What plyfs should reach: at most this multiple of another's cost, or at most this value. */
export interface Target {
  readonly kernel?: number;
  readonly fuseOverlayfs?: number;
  readonly value?: number;
  /** The kernel's measure to compare with, when it is not the same one. */
  readonly kernelMeasure?: string;
}

export interface Measure {
  readonly unit: Unit;
  /** The target in the default data mode. */
  readonly target?: Target;
  /** The target in the other one. */
  readonly passthroughTarget?: Target;
  /** Left out of the geometric mean, because it is not the time of some work. */
  readonly aside?: boolean;
}

export interface Scenario {
  readonly group: Group;
  readonly name: string;
  readonly fixture: Fixture;
  /** The plain filesystem gets its own copy of the tree. */
  readonly modifies: boolean;
  /** Part of --quick. */
  readonly quick: boolean;
  readonly measures: Readonly<Record<string, Measure>>;
  readonly timeoutMs: number;
  /** Memory that the page cache will need: see Stage.touchMemory(). */
  memoryMiB?(sizes: Sizes): number;
  /** Programs that must be installed. */
  readonly needs?: readonly string[];
  /** Mount options every contender of this scenario must understand. */
  readonly extra?: readonly Extra[];
  /** Contenders for which this makes no sense. */
  readonly except?: readonly Contender['kind'][];
  run(stage: Stage, sizes: Sizes): Promise<void>;
}

/** More is better. */
export function isRate(unit: Unit): boolean {
  return unit === 'MB/s' || unit === 'ops/s';
}
