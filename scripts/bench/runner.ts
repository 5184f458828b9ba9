/**
 * The order of a run: for every round, for every scenario, one contender after the other. A temporary disturbance of the
 * machine then affects all contenders, and the medians over the rounds remove it.
 */

import type { Contender } from './contender.js';
import type { FixtureStore } from './fixtures.js';
import { Failure, Hang, which } from './process.js';
import type { Results } from './results.js';
import type { Scenario } from './scenario.js';
import { spreadOverGroups } from './scenarios.js';
import type { Sizes } from './sizes.js';
import { type Bench, Stage } from './stage.js';

export interface Plan {
  readonly bench: Bench;
  readonly scenarios: readonly Scenario[];
  readonly contenders: readonly Contender[];
  readonly fixtures: FixtureStore;
  readonly sizes: Sizes;
  readonly rounds: number;
  /** Seconds after which no further round begins that would not fit; null: all rounds. */
  readonly budgetS: number | null;
}

/** A contender that hung so often is left out: every hang costs a whole timeout. */
const MOST_HANGS = 2;

/** Timeout of one sitting, when the whole run has a budget. */
const BUDGETED_TIMEOUT_MS = 20_000;

function say(text: string): void {
  process.stderr.write(text);
}

function takesPart(scenario: Scenario, contender: Contender): boolean {
  if (scenario.except?.includes(contender.kind)) return false;
  return (scenario.extra ?? []).every((option) => contender.extras.includes(option));
}

async function missingPrograms(plan: Plan, scenario: Scenario): Promise<string[]> {
  const missing: string[] = [];
  for (const program of scenario.needs ?? []) {
    const found = program === 'python3' ? plan.bench.python : await which(program);
    if (found === null) missing.push(program);
  }
  return missing;
}

/** One sitting; the values it recorded are kept, even when it fails halfway. */
async function sit(plan: Plan, scenario: Scenario, contender: Contender, results: Results): Promise<void> {
  const layers = await plan.fixtures.get(scenario.fixture);
  const limitMs = Math.min(scenario.timeoutMs, plan.budgetS === null ? Infinity : BUDGETED_TIMEOUT_MS);
  const stage = new Stage(plan.bench, { ...scenario, timeoutMs: limitMs }, contender, layers);
  const begin = performance.now();
  try {
    await stage.prepare(plan.sizes);
    await scenario.run(stage, plan.sizes);
  } catch (error) {
    if (!(error instanceof Failure)) throw error;
    if (error instanceof Hang) results.countHang(contender);
    results.fail(scenario, contender, error.message);
    say(` ${contender.name} FAIL (${error.message})`);
  } finally {
    for (const [measure, value] of stage.values) results.add(measure, contender, value);
    await stage.dispose();
  }
  say(` ${contender.name} ${((performance.now() - begin) / 1000).toFixed(1)}s`);
}

export async function runPlan(plan: Plan, results: Results): Promise<void> {
  const begin = performance.now();
  const elapsed = () => (performance.now() - begin) / 1000;
  const scenarios: Scenario[] = [];
  for (const scenario of plan.budgetS === null ? plan.scenarios : spreadOverGroups(plan.scenarios)) {
    const missing = await missingPrograms(plan, scenario);
    if (missing.length === 0) scenarios.push(scenario);
    else say(`bench: ${scenario.name} left out: needs ${missing.join(', ')}\n`);
  }
  let longest = 0;
  for (let round = 1; round <= plan.rounds; round++) {
    if (plan.budgetS !== null && round > 1 && elapsed() + longest > plan.budgetS) break;
    const roundBegin = elapsed();
    for (const scenario of scenarios) {
      if (plan.budgetS !== null && elapsed() > plan.budgetS) {
        if (round === 1) results.cutShort = true;
        break;
      }
      say(`[${elapsed().toFixed(0)}s ${round}/${plan.rounds}] ${scenario.group}: ${scenario.name}:`);
      for (const contender of plan.contenders) {
        if (!takesPart(scenario, contender) || results.failure(scenario, contender) !== null) continue;
        if (results.hangs(contender) < MOST_HANGS) await sit(plan, scenario, contender, results);
        else results.fail(scenario, contender, 'left out, it hangs');
      }
      say('\n');
    }
    results.rounds = round;
    longest = Math.max(longest, elapsed() - roundBegin);
  }
  results.seconds = elapsed();
}
