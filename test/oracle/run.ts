/** Runs many scenarios on both filesystems in batches of equal options. */
import type { Driver } from '../support/drivers.js';
import { Scratch } from '../support/scratch.js';
import { compare, type Outcome, perform } from './compare.js';
import type { Scenario } from './scenario.js';

export interface Verdict {
  /** What differs, see {@link compare}; empty when nothing does. */
  readonly differences: readonly string[];
}

export interface Pair {
  readonly kernel: Driver;
  readonly plyfs: Driver;
}

export interface Verdicts {
  readonly verdicts: readonly Verdict[];
  /** Problems of whole mounts, for example a changed lower layer. */
  readonly problems: readonly string[];
}

/** The maximum of scenarios that share a mount. */
const BATCH = 40;

/** Indexes of the scenarios, grouped by options, at most {@link BATCH} in a group. */
function batches(scenarios: readonly Scenario[]): number[][] {
  const groups = new Map<string, number[][]>();
  scenarios.forEach((scenario, i) => {
    const depth = scenario.data === undefined ? '' : scenario.lower?.length;
    const key = `${(scenario.options ?? []).join(',')} ${scenario.data ?? 0} ${depth}`;
    const lists = groups.get(key) ?? [[]];
    if (lists.at(-1)!.length >= BATCH) lists.push([]);
    lists.at(-1)!.push(i);
    groups.set(key, lists);
  });
  return [...groups.values()].flat();
}

/** Runs every scenario on both and compares. Verdicts are in the order of the scenarios. */
export async function judge(pair: Pair, scenarios: readonly Scenario[]): Promise<Verdicts> {
  const verdicts: Verdict[] = [];
  const problems: string[] = [];
  for (const indexes of batches(scenarios)) {
    const scratch = new Scratch();
    try {
      const some = indexes.map((i) => scenarios[i]!);
      const [kernel, plyfs] = await Promise.all([
        perform(scratch, pair.kernel, pair.plyfs, some),
        perform(scratch, pair.plyfs, pair.kernel, some),
      ]);
      problems.push(...kernel.problems.map((text) => `kernel: ${text}`));
      problems.push(...plyfs.problems.map((text) => `plyfs: ${text}`));
      indexes.forEach((index, i) => {
        const outcomes: [Outcome, Outcome] = [kernel.outcomes[i]!, plyfs.outcomes[i]!];
        verdicts[index] = { differences: compare(scenarios[index]!, ...outcomes) };
      });
    } finally {
      scratch.dispose();
    }
  }
  return { verdicts, problems };
}
