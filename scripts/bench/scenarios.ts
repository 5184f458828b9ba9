/** All scenarios, in the order in which they run and are shown. */

import { COPY_UP } from './groups/copy-up.js';
import { CREATION } from './groups/creation.js';
import { INPUT_OUTPUT } from './groups/io.js';
import { LIFE } from './groups/life.js';
import { METADATA } from './groups/metadata.js';
import { PROGRAMS } from './groups/programs.js';
import { SMALL_FILES } from './groups/small-files.js';
import { type Options, UsageError } from './options.js';
import type { Scenario } from './scenario.js';

const ALL: readonly Scenario[] = [
  ...METADATA,
  ...SMALL_FILES,
  ...CREATION,
  ...COPY_UP,
  ...INPUT_OUTPUT,
  ...PROGRAMS,
  ...LIFE,
];

function matches(scenario: Scenario, words: readonly string[]): boolean {
  const names = [scenario.name, ...Object.keys(scenario.measures)];
  return words.some((word) => names.some((name) => name.includes(word)));
}

/** The requested scenarios; a group that doesn't exist is an error. */
export function selectScenarios(options: Options): Scenario[] {
  for (const group of options.groups) {
    if (!ALL.some((scenario) => scenario.group === group))
      throw new UsageError(`no group ${group}, see --list`);
  }
  return ALL.filter(
    (scenario) =>
      (!options.quick || scenario.quick) &&
      (options.groups.length === 0 || options.groups.includes(scenario.group)) &&
      (options.filter.length === 0 || matches(scenario, options.filter)),
  );
}

/** One of each group, then the next of each: when time runs out, every group has some results. */
export function spreadOverGroups(scenarios: readonly Scenario[]): Scenario[] {
  const seen = new Map<string, number>();
  const turns = scenarios.map((scenario) => {
    const turn = seen.get(scenario.group) ?? 0;
    seen.set(scenario.group, turn + 1);
    return { scenario, turn };
  });
  return turns.sort((a, b) => a.turn - b.turn).map(({ scenario }) => scenario);
}

/** The text of --list. */
export function listScenarios(scenarios: readonly Scenario[]): string {
  const lines: string[] = [];
  let group = '';
  for (const scenario of scenarios) {
    if (scenario.group !== group) lines.push(scenario.group);
    group = scenario.group;
    lines.push(`  ${scenario.name}${scenario.quick ? '  (quick)' : ''}`);
    for (const [name, { unit }] of Object.entries(scenario.measures)) lines.push(`      ${name} [${unit}]`);
  }
  return lines.join('\n');
}
