/** Makes a failing scenario small: delta debugging over its steps and the steps that build its layers. */
import { judge, type Pair } from './run.js';
import type { Scenario } from './scenario.js';

/** All parts of a scenario that can be left out, in one list. */
type Piece = { readonly where: 'steps' | 'upper' | number; readonly text: string };

function pieces(scenario: Scenario): Piece[] {
  return [
    ...(scenario.lower ?? []).flatMap((lines, layer) => lines.map((text) => ({ where: layer, text }))),
    ...(scenario.upper ?? []).map((text) => ({ where: 'upper' as const, text })),
    ...scenario.steps.map((text) => ({ where: 'steps' as const, text })),
  ];
}

function assemble(scenario: Scenario, kept: readonly Piece[]): Scenario {
  const of = (where: Piece['where']): string[] => kept.filter((p) => p.where === where).map((p) => p.text);
  const small = {
    ...scenario,
    lower: (scenario.lower ?? [[]]).map((_, layer) => of(layer)),
    steps: of('steps'),
  };
  return scenario.upper === undefined ? small : { ...small, upper: of('upper') };
}

/**
 * Removes parts as long as the rest still fails. All candidates of a round share a mount.
 * `deadline` (ms since the epoch) ends it early with the smallest found so far.
 */
export async function shrink(pair: Pair, scenario: Scenario, deadline: number): Promise<Scenario> {
  let kept = pieces(scenario);
  let chunk = Math.max(1, Math.ceil(kept.length / 4));
  while (Date.now() < deadline) {
    const candidates: Piece[][] = [];
    for (let at = 0; at < kept.length; at += chunk) {
      candidates.push([...kept.slice(0, at), ...kept.slice(at + chunk)]);
    }
    const { verdicts } = await judge(
      pair,
      candidates.map((candidate) => assemble(scenario, candidate)),
    );
    const failing = candidates.filter((_, i) => (verdicts[i]?.differences.length ?? 0) > 0);
    if (failing.length > 0) {
      kept = failing[0]!;
      chunk = Math.min(chunk, Math.max(1, kept.length));
    } else if (chunk === 1) break;
    else chunk = Math.ceil(chunk / 2);
  }
  return assemble(scenario, kept);
}

/** A scenario as the text of a table row. */
export function show(scenario: Scenario): string {
  const list = (lines: readonly string[]): string => `[${lines.map((line) => `'${line}'`).join(', ')}]`;
  const rows = [`lower: [${(scenario.lower ?? []).map(list).join(', ')}],`];
  if (scenario.upper !== undefined) rows.push(`upper: ${list(scenario.upper)},`);
  if (scenario.options !== undefined && scenario.options.length > 0) {
    rows.push(`options: ${list(scenario.options)},`);
  }
  rows.push(`steps: ${list(scenario.steps)},`);
  if (scenario.look === 'last') rows.push(`look: 'last',`);
  return rows.map((row) => `    ${row}`).join('\n');
}
