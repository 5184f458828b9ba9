/**
 * Runs scenarios on a filesystem and compares two such runs: every result, the merged view and the upper layer after
 * every step, and the cross mount (what one wrote, mounted by the other).
 *
 * Many scenarios share a mount, each in a directory of its own: a mount costs far more than a scenario.
 */
import { mkdirSync } from 'node:fs';
import type { StepReport } from '../support/agent.js';
import type { Driver } from '../support/drivers.js';
import { Fixture } from '../support/fixture.js';
import { build } from '../support/machine.js';
import type { Scratch } from '../support/scratch.js';
import { difference, type Snapshot } from '../support/snapshot.js';
import { allowed, normal } from './known-differences.js';
import type { Scenario } from './scenario.js';

/** What one filesystem made of one scenario. */
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
  /** What concerns all scenarios of the mount: changed lower layers, leftovers, mounts that failed. */
  readonly problems: readonly string[];
}

/** Time limit of one scenario. */
const LIMIT = 15_000;

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
    this.#fixture = new Fixture(scratch, driver, { lower: Array.from({ length: depth }, () => []), options });
    scenarios.forEach((scenario, i) => {
      (scenario.lower ?? [[]]).forEach((steps, layer) => {
        this.#place(this.#fixture.lower[layer]!, i, steps);
      });
      if (scenario.upper !== undefined) this.#place(this.#fixture.upperDir!, i, scenario.upper);
    });
  }

  #place(layer: string, scenario: number, steps: readonly string[]): void {
    mkdirSync(`${layer}/${scenario}`);
    build(`${layer}/${scenario}`, steps, { lenient: this.#scenarios[scenario]?.lenient ?? false });
  }

  async run(other: Driver): Promise<BatchOutcome> {
    const fixture = this.#fixture;
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

  async #steps(scenario: Scenario, i: number): Promise<Pick<Outcome, 'reports' | 'error'>> {
    const { merged, upperDir, agent } = this.#fixture;
    try {
      const reports = await agent.steps(
        {
          directory: `${merged}/${i}`,
          upper: `${upperDir}/${i}`,
          steps: scenario.steps,
          look: scenario.look ?? 'each',
          now: Math.floor(Date.now() / 1000) - 60,
        },
        LIMIT,
      );
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

/** Runs scenarios, which must have the same options, on one mount of `driver`, then mounts the result by `other`. */
export async function perform(
  scratch: Scratch,
  driver: Driver,
  other: Driver,
  scenarios: readonly Scenario[],
): Promise<BatchOutcome> {
  const batch = new Batch(scratch, driver, scenarios);
  try {
    return await batch.run(other);
  } finally {
    await batch.dispose();
  }
}

function normalised(where: 'merged' | 'upper', view: Snapshot): Snapshot {
  return Object.fromEntries(Object.entries(view).map(([path, line]) => [path, normal(where, line)]));
}

function views(
  where: 'merged' | 'upper',
  kernel: Snapshot | undefined,
  plyfs: Snapshot | undefined,
): string[] {
  return difference(normalised(where, kernel ?? {}), normalised(where, plyfs ?? {})).map(
    (line) => `${where} ${line}`,
  );
}

/** Differences in one step, in the order result, merged view, upper layer. */
function compareStep(step: string, kernel: StepReport, plyfs: StepReport): string[] {
  const lines: string[] = [];
  const [k, p] = [normal('result', kernel.result), normal('result', plyfs.result)];
  if (k !== p && allowed(step, k, p) === null) lines.push(`result ${k} | ${p}`);
  lines.push(...views('merged', kernel.merged, plyfs.merged));
  lines.push(...views('upper', kernel.upper, plyfs.upper));
  return lines;
}

/** All that differs, up to and including the first step that does; empty when nothing does. */
export function compare(scenario: Scenario, kernel: Outcome, plyfs: Outcome): string[] {
  if (kernel.error !== null || plyfs.error !== null) {
    return [`error ${kernel.error ?? 'none'} | ${plyfs.error ?? 'none'}`];
  }
  for (const [i, step] of scenario.steps.entries()) {
    const lines = compareStep(step, kernel.reports[i]!, plyfs.reports[i]!);
    // One difference leads to others: the first step that has any is the one to look at.
    if (lines.length > 0) return lines.map((line) => `step ${i + 1} (${step}): ${line}`);
  }
  return [
    ...views('merged', kernel.final, plyfs.final).map((line) => `at the end: ${line}`),
    ...views('merged', plyfs.final, plyfs.crossed).map(
      (line) => `plyfs wrote it, itself | the kernel reads: ${line}`,
    ),
    ...views('merged', kernel.final, kernel.crossed).map(
      (line) => `the kernel wrote it, itself | plyfs reads: ${line}`,
    ),
  ];
}
