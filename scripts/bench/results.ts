/** Samples, medians, ratios, verdicts. */

import { type Contender, FUSE_OVERLAYFS, KERNEL } from './contender.js';
import { type Group, isRate, type Measure, type Scenario } from './scenario.js';

export interface Verdict {
  readonly contender: string;
  readonly measure: string;
  /** As "1.32 of kernel, at most 1.05". */
  readonly text: string;
  readonly met: boolean;
}

export interface Row {
  readonly scenario: Scenario;
  readonly name: string;
  readonly measure: Measure;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

function geometricMean(values: readonly number[]): number {
  return Math.exp(values.reduce((sum, value) => sum + Math.log(value), 0) / values.length);
}

/** References for the two ratios of the report. */
export const REFERENCES = [KERNEL, FUSE_OVERLAYFS] as const;

export class Results {
  readonly scenarios: readonly Scenario[];
  readonly contenders: readonly Contender[];
  rounds = 0;
  /** The time was up before every scenario had its first turn. */
  cutShort = false;
  seconds = 0;
  readonly #samples = new Map<string, number[]>();
  readonly #hangs = new Map<string, number>();
  readonly #failures = new Map<string, string>();

  constructor(scenarios: readonly Scenario[], contenders: readonly Contender[]) {
    this.scenarios = scenarios;
    this.contenders = contenders;
  }

  add(measure: string, contender: Contender, value: number): void {
    const key = `${measure}|${contender.name}`;
    const samples = this.#samples.get(key);
    if (samples === undefined) this.#samples.set(key, [value]);
    else samples.push(value);
  }

  fail(scenario: Scenario, contender: Contender, reason: string): void {
    this.#failures.set(`${scenario.name}|${contender.name}`, reason);
  }

  failure(scenario: Scenario, contender: Contender): string | null {
    return this.#failures.get(`${scenario.name}|${contender.name}`) ?? null;
  }

  #failed(scenario: Scenario, contender: string): boolean {
    return this.#failures.has(`${scenario.name}|${contender}`);
  }

  countHang(contender: Contender): void {
    this.#hangs.set(contender.name, this.hangs(contender) + 1);
  }

  hangs(contender: Contender): number {
    return this.#hangs.get(contender.name) ?? 0;
  }

  samples(measure: string, contender: string): readonly number[] {
    return this.#samples.get(`${measure}|${contender}`) ?? [];
  }

  median(measure: string, contender: string): number | null {
    const samples = this.samples(measure, contender);
    return samples.length === 0 ? null : median(samples);
  }

  groups(): Group[] {
    return [...new Set(this.scenarios.map((scenario) => scenario.group))];
  }

  rows(group?: Group): Row[] {
    return this.scenarios
      .filter((scenario) => group === undefined || scenario.group === group)
      .flatMap((scenario) =>
        Object.entries(scenario.measures).map(([name, measure]) => ({ scenario, name, measure })),
      );
  }

  /** How many times the reference's cost this is: 2 is half as fast, 0.5 is twice as fast. */
  ratio(row: Row, contender: string, reference: string, referenceMeasure = row.name): number | null {
    // Values measured before a failure don't count.
    if (this.#failed(row.scenario, contender) || this.#failed(row.scenario, reference)) return null;
    const own = this.median(row.name, contender);
    const other = this.median(referenceMeasure, reference);
    if (own === null || other === null || own <= 0 || other <= 0) return null;
    return isRate(row.measure.unit) ? other / own : own / other;
  }

  /** Geometric mean of the ratios of a group's measures (of all groups: undefined). */
  groupRatio(group: Group | undefined, contender: string, reference: string): number | null {
    const ratios = this.rows(group)
      .filter((row) => row.measure.aside !== true)
      .map((row) => this.ratio(row, contender, reference))
      .filter((ratio) => ratio !== null);
    return ratios.length === 0 ? null : geometricMean(ratios);
  }

  /** Verdicts on all targets that can be judged, for every plyfs contender. */
  verdicts(): Verdict[] {
    const plyfs = this.contenders.filter((contender) => contender.kind === 'plyfs');
    return plyfs.flatMap((contender) => this.rows().flatMap((row) => this.#judge(row, contender)));
  }

  #judge(row: Row, contender: Contender): Verdict[] {
    const { target: usual, passthroughTarget } = row.measure;
    const target = contender.mode === 'passthrough' ? passthroughTarget : usual;
    if (target === undefined) return [];
    const verdicts: Verdict[] = [];
    const judge = (value: number | null, most: number | undefined, of: string) => {
      if (value === null || most === undefined) return;
      const text = `${value.toPrecision(3)} ${of}, at most ${most.toPrecision(3)}`;
      verdicts.push({ contender: contender.name, measure: row.name, text, met: value <= most });
    };
    judge(this.ratio(row, contender.name, KERNEL, target.kernelMeasure), target.kernel, 'of kernel');
    judge(this.ratio(row, contender.name, FUSE_OVERLAYFS), target.fuseOverlayfs, 'of fuse-overlayfs');
    if (this.failure(row.scenario, contender) === null) {
      judge(this.median(row.name, contender.name), target.value, row.measure.unit);
    }
    return verdicts;
  }
}
