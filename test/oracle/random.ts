/** Runs random scenarios for a while and reports those that differ, shrunk. */
import { generate } from './generator.js';
import { judge, type Pair } from './run.js';
import { show, shrink } from './shrink.js';

export interface Finding {
  readonly seed: number;
  readonly differences: readonly string[];
  /** The smallest scenario found, as a table row, and what differs in it. */
  readonly small: string;
}

export interface RandomRun {
  /** The first seed; the next ones count up from it. */
  readonly seed: number;
  readonly milliseconds: number;
  /** Stop after this many scenarios. */
  readonly scenarios?: number;
  /** Stop after this many findings. */
  readonly most: number;
  /** Mount options that are left out. */
  readonly without?: readonly string[];
  /** Mount options of all scenarios; null: random ones. */
  readonly options?: readonly string[] | null;
  readonly onFinding?: (finding: Finding) => void;
}

export interface RandomResult {
  readonly scenarios: number;
  readonly findings: readonly Finding[];
  readonly problems: readonly string[];
}

const AT_ONCE = 40;
const SHRINK_MS = 20_000;

/** What a difference is about, without the names in it. */
function shape(difference: string): string {
  return difference
    .replace(/^step \d+ \((\w+)[^)]*\)/, '$1')
    .replace(/"[^"]*"/g, '')
    .replace(/\d+/g, '');
}

/** Looks for differences until the time is over or enough kinds of them were found. */
export async function random(pair: Pair, run: RandomRun): Promise<RandomResult> {
  const end = Date.now() + run.milliseconds;
  const findings: Finding[] = [];
  const problems: string[] = [];
  const shapes = new Set<string>();
  let seed = run.seed;
  const last = run.seed + (run.scenarios ?? Number.POSITIVE_INFINITY);
  while (Date.now() < end && seed < last && findings.length < run.most && problems.length === 0) {
    const some = Array.from({ length: Math.min(AT_ONCE, last - seed) }, (_, i) => ({
      seed: seed + i,
      scenario: generate(seed + i, run.options ?? null),
    }));
    seed += some.length;
    const wanted = some.filter(({ scenario }) => !scenario.options?.some((o) => run.without?.includes(o)));
    const seeds = wanted.map((one) => one.seed);
    const scenarios = wanted.map((one) => one.scenario);
    const result = await judge(pair, scenarios);
    problems.push(...result.problems.map((text) => `seeds ${seeds[0]} to ${seeds.at(-1)}: ${text}`));
    for (const [i, verdict] of result.verdicts.entries()) {
      if (verdict.differences.length === 0 || findings.length >= run.most) continue;
      // One of each kind is enough: the next seeds may find something else.
      const kind = shape(verdict.differences[0]!);
      if (shapes.has(kind)) continue;
      shapes.add(kind);
      const small = await shrink(pair, scenarios[i]!, Date.now() + SHRINK_MS);
      const again = await judge(pair, [small]);
      const text = `${show(small)}\n${(again.verdicts[0]?.differences ?? []).join('\n')}`;
      const finding = { seed: seeds[i]!, differences: verdict.differences, small: text };
      findings.push(finding);
      run.onFinding?.(finding);
    }
  }
  return { scenarios: seed - run.seed, findings, problems };
}

export function describeFinding(finding: Finding): string {
  return `seed ${finding.seed} differs (kernel | plyfs):\n${finding.differences.slice(0, 6).join('\n')}\nshrunk to:\n${finding.small}`;
}
