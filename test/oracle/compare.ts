/**
 * Runs scenarios on a filesystem and compares two such runs: every result, the merged view and the upper layer after
 * every step, and the cross mount (layers written by one filesystem, mounted by the other).
 *
 * Many scenarios share a mount, each in a directory of its own: a mount costs far more than a scenario.
 */
import { lstatSync, mkdirSync, readdirSync, unlinkSync } from 'node:fs';
import * as sys from '../../src/sys/index.js';
import type { StepReport } from '../support/agent.js';
import { type Driver, kernel as oracle } from '../support/drivers.js';
import { Fixture } from '../support/fixture.js';
import { build } from '../support/machine.js';
import type { Scratch } from '../support/scratch.js';
import { difference, type Snapshot } from '../support/snapshot.js';
import { allowed, normal } from './known-differences.js';
import type { Scenario } from './scenario.js';

/** Results of one scenario on one filesystem. */
export interface Outcome {
  readonly reports: readonly StepReport[];
  /** A failure of the run itself: a hang, a crash. */
  readonly error: string | null;
  /** The merged view at the end, on the same mount. */
  readonly final: Snapshot;
  /** The merged view of the same layers mounted by the other filesystem afterwards. */
  readonly crossed: Snapshot;
}

export interface BatchOutcome {
  readonly outcomes: readonly Outcome[];
  /** Problems of the whole mount: changed lower layers, leftovers, mounts that failed. */
  readonly problems: readonly string[];
}

/** Steps of scenario number `i`: `/@` stands for its directory, as a path from the root of a layer. */
function placed(steps: readonly string[], i: number): string[] {
  return steps.map((text) => text.replaceAll('/@', `/${i}`));
}

class Batch {
  readonly #driver: Driver;
  readonly #scenarios: readonly Scenario[];
  readonly #fixture: Fixture;
  readonly #problems: string[] = [];

  constructor(scratch: Scratch, driver: Driver, scenarios: readonly Scenario[]) {
    this.#driver = driver;
    this.#scenarios = scenarios;
    const depth = Math.max(1, ...scenarios.map((scenario) => scenario.lower?.length ?? 1));
    const options = scenarios[0]?.options ?? [];
    const lower = Array.from({ length: depth }, () => []);
    this.#fixture = new Fixture(scratch, driver, { lower, data: scenarios[0]?.data ?? 0, options });
    scenarios.forEach((scenario, i) => {
      (scenario.lower ?? [[]]).forEach((steps, layer) => {
        this.#place(this.#fixture.lower[layer]!, i, steps);
      });
      if (scenario.upper !== undefined) this.#place(this.#fixture.upperDir!, i, scenario.upper);
    });
  }

  #place(layer: string, scenario: number, steps: readonly string[]): void {
    mkdirSync(`${layer}/${scenario}`);
    build(`${layer}/${scenario}`, placed(steps, scenario), {
      lenient: this.#scenarios[scenario]?.lenient ?? false,
    });
  }

  async run(other: Driver): Promise<BatchOutcome> {
    const fixture = this.#fixture;
    this.#scenarios.forEach((scenario, i) => {
      if (scenario.lenient) tidy([fixture.upperDir!, ...fixture.lower].map((layer) => `${layer}/${i}`));
    });
    await this.#settle();
    await fixture.mount();
    const partial: Pick<Outcome, 'reports' | 'error'>[] = [];
    for (const [i, scenario] of this.#scenarios.entries()) partial.push(await this.#steps(scenario, i));
    const final = await this.#views();
    await this.#unmount();
    this.#problems.push(...fixture.lowerChanges().map((line) => `lower layer changed: ${line}`));
    const left = fixture.leftovers();
    // The kernel keeps one spare whiteout there.
    if (left.length > 1) this.#problems.push(`left in the work directory: ${left.join(' ')}`);
    const crossed = await this.#cross(other);
    const outcomes = partial.map((one, i) => ({
      ...one,
      final: final[i] ?? {},
      crossed: crossed[i] ?? {},
    }));
    return { outcomes, problems: this.#problems };
  }

  /**
   * Kernel overlayfs adds an origin to upper directories that lack it when it looks them up. A first walk by the kernel
   * makes the upper look as if the kernel had written it.
   */
  async #settle(): Promise<void> {
    if ((await oracle.unavailable()) !== null) return;
    await this.#fixture.mountAgain(oracle);
    await this.#views();
    await this.#unmount();
  }

  async #steps(scenario: Scenario, i: number): Promise<Pick<Outcome, 'reports' | 'error'>> {
    const { merged, upperDir, agent } = this.#fixture;
    try {
      const reports = await agent.steps({
        directory: `${merged}/${i}`,
        upper: `${upperDir}/${i}`,
        steps: placed(scenario.steps, i),
        look: scenario.look ?? 'each',
        now: Math.floor(Date.now() / 1000) - 60,
      });
      return { reports, error: null };
    } catch (error) {
      await this.#unmount();
      await this.#fixture.mountAgain(this.#driver);
      return { reports: [], error: (error as Error).message };
    }
  }

  /** The merged view of every scenario. */
  async #views(): Promise<Snapshot[]> {
    try {
      return split(await this.#fixture.view(), this.#scenarios.length);
    } catch (error) {
      this.#problems.push(`the merged view: ${(error as Error).message}`);
      return [];
    }
  }

  async #cross(other: Driver): Promise<Snapshot[]> {
    try {
      await this.#fixture.mountAgain(other);
    } catch (error) {
      this.#problems.push(
        `${other.name} does not mount what ${this.#driver.name} wrote: ${(error as Error).message}`,
      );
      return [];
    }
    const views = await this.#views();
    await this.#unmount();
    return views;
  }

  async #unmount(): Promise<void> {
    try {
      await this.#fixture.unmount();
    } catch (error) {
      this.#problems.push((error as Error).message);
    }
  }

  async dispose(): Promise<void> {
    await this.#fixture.dispose();
  }
}

/** Cuts a snapshot of the whole mount into those of the scenarios. */
function split(view: Snapshot, count: number): Snapshot[] {
  const parts: Snapshot[] = Array.from({ length: count }, () => ({}));
  for (const [path, line] of Object.entries(view)) {
    const [, index = '', rest = '.'] = /^(\d+)(?:\/(.*))?$/s.exec(path) ?? [];
    const part = parts[Number(index)];
    if (index !== '' && part !== undefined) part[rest] = line.replace(` same=${index}/`, ' same=');
  }
  return parts;
}

/**
 * Removes whiteouts from directories that are on one layer only: kernel overlayfs lists such a directory as it is,
 * with names that can't be looked up, and does not consider it empty. It never makes one itself.
 */
function tidy(directories: readonly string[]): void {
  const present = directories.filter((directory) =>
    lstatSync(directory, { throwIfNoEntry: false })?.isDirectory(),
  );
  const names = new Set(present.flatMap((directory) => readdirSync(directory)));
  for (const name of names) {
    const merged: string[] = [];
    for (const directory of present) {
      const path = `${directory}/${name}`;
      const stat = lstatSync(path, { throwIfNoEntry: false });
      if (stat === undefined) continue;
      if (stat.isCharacterDevice() && stat.rdev === 0 && present.length === 1) unlinkSync(path);
      if (!stat.isDirectory()) break;
      merged.push(path);
      if (isOpaque(path)) break;
    }
    if (merged.length > 0) tidy(merged);
  }
}

function isOpaque(directory: string): boolean {
  const fd = sys.openat(sys.AT_FDCWD, directory, sys.O_PATH | sys.O_DIRECTORY);
  const value = Buffer.alloc(4);
  const length = sys.getxattr(fd, '', 'trusted.overlay.opaque', value, value.length);
  sys.close(fd);
  return length === 1 && value[0] === 'y'.charCodeAt(0);
}

function failed(error: string): Outcome {
  return { reports: [], error, final: {}, crossed: {} };
}

/** Runs scenarios, which must have the same options, on one mount of `driver`, then mounts the result with `other`. */
export async function perform(
  scratch: Scratch,
  driver: Driver,
  other: Driver,
  scenarios: readonly Scenario[],
): Promise<BatchOutcome> {
  const batch = new Batch(scratch, driver, scenarios);
  try {
    return await batch.run(other);
  } catch (error) {
    const text = (error as Error).message;
    return { outcomes: scenarios.map(() => failed(text)), problems: [] };
  } finally {
    await batch.dispose();
  }
}

/** Compares the snapshots of a scenario. */
class Looks {
  readonly #madeUp: boolean;

  constructor(scenario: Scenario) {
    this.#madeUp = scenario.lenient ?? false;
  }

  #normal(where: 'merged' | 'upper', view: Snapshot, kernel: boolean): Snapshot {
    const lines: Snapshot = {};
    for (const [path, text] of Object.entries(view)) {
      const line = normal(where, text, { kernel, madeUp: this.#madeUp });
      if (line !== null) lines[path] = line;
    }
    return lines;
  }

  /** `kernel`: the left side is the kernel's. */
  compare(
    where: 'merged' | 'upper',
    left: Snapshot | undefined,
    right: Snapshot | undefined,
    kernel = true,
  ): string[] {
    const lines = difference(
      this.#normal(where, left ?? {}, kernel),
      this.#normal(where, right ?? {}, false),
    );
    return lines.map((line) => `${where} ${line}`);
  }

  /** Differences in one step, in the order result, merged view, upper layer. */
  step(step: string, left: StepReport, right: StepReport): string[] {
    const lines: string[] = [];
    const [l, r] = [normal('result', left.result) ?? '', normal('result', right.result) ?? ''];
    if (l !== r && allowed(step, l, r) === null) lines.push(`result ${l} | ${r}`);
    lines.push(...this.compare('merged', left.merged, right.merged));
    lines.push(...this.compare('upper', left.upper, right.upper));
    return lines;
  }
}

/** All differences, up to and including the first step that has any; empty when there are none. */
export function compare(scenario: Scenario, kernel: Outcome, plyfs: Outcome): string[] {
  if (kernel.error !== null || plyfs.error !== null) {
    return [`error ${kernel.error ?? 'none'} | ${plyfs.error ?? 'none'}`];
  }
  const looks = new Looks(scenario);
  for (const [i, step] of scenario.steps.entries()) {
    const lines = looks.step(step, kernel.reports[i]!, plyfs.reports[i]!);
    // One difference leads to others: only the first step that has any is of interest.
    if (lines.length > 0) return lines.map((line) => `step ${i + 1} (${step}): ${line}`);
  }
  if (scenario.look === 'never') return [];
  const view = (left: Snapshot, right: Snapshot, kernel: boolean): string[] =>
    looks.compare('merged', left, right, kernel);
  return [
    ...view(kernel.final, plyfs.final, true).map((line) => `at the end: ${line}`),
    ...view(plyfs.final, plyfs.crossed, false).map(
      (line) => `plyfs wrote it, itself | the kernel reads: ${line}`,
    ),
    ...view(kernel.final, kernel.crossed, true).map(
      (line) => `the kernel wrote it, itself | plyfs reads: ${line}`,
    ),
  ];
}
