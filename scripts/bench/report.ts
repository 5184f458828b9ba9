/** The table on the terminal, and the JSON. */

import { arch, cpus, release, totalmem } from 'node:os';
import type { Contender } from './contender.js';
import { REFERENCES, type Results, type Row } from './results.js';

/** Machine and settings of a run. */
export interface Circumstances {
  readonly command: string;
  readonly date: string;
  readonly pin: string;
  readonly quick: boolean;
}

function formatValue(value: number): string {
  if (value >= 1000) return value.toFixed(0);
  if (value >= 100) return value.toFixed(1);
  if (value >= 10) return value.toFixed(1);
  return value.toFixed(2);
}

function formatRatio(ratio: number | null): string {
  if (ratio === null) return '-';
  return ratio >= 10 ? ratio.toFixed(1) : ratio.toFixed(2);
}

function cell(results: Results, row: Row, contender: Contender): string {
  if (results.failure(row.scenario, contender) !== null) return 'FAIL';
  const value = results.median(row.name, contender.name);
  return value === null ? '-' : formatValue(value);
}

/** Ratio columns: what is judged, against each reference that took part. */
function ratioColumns(results: Results): { contender: string; reference: string; title: string }[] {
  const present = REFERENCES.filter((name) =>
    results.contenders.some((contender) => contender.name === name),
  );
  const subjects = results.contenders.filter((contender) => contender.kind === 'plyfs');
  // Without plyfs the references are compared with each other.
  const names = subjects.length > 0 ? subjects.map((subject) => subject.name) : [REFERENCES[1]];
  return names.flatMap((contender) =>
    present
      .filter((reference) => reference !== contender)
      .map((reference) => ({ contender, reference, title: `${contender}/${reference}` })),
  );
}

function layOut(lines: readonly (readonly string[])[]): string {
  const widths = lines[0]!.map((_, column) => Math.max(...lines.map((line) => (line[column] ?? '').length)));
  return lines
    .map((line) =>
      line
        .map((text, column) => (column === 0 ? text.padEnd(widths[0]!) : text.padStart(widths[column]!)))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}

/** Column titles that fit: a long name in every column would make the lines too wide. */
function shortTitle(title: string): string {
  return title.replaceAll('fuse-overlayfs', 'f-o').replaceAll('plyfs ', '').replaceAll('passthrough', 'pass');
}

/** The same in a ratio of two. */
function shortRatio(title: string): string {
  return shortTitle(title).replace('/kernel', ':k').replace('/f-o', ':f-o');
}

export function formatTable(results: Results): string {
  const ratios = ratioColumns(results);
  const names = results.contenders.map((contender) => shortTitle(contender.name));
  const lines: string[][] = [['', 'unit', ...names, ...ratios.map(({ title }) => shortRatio(title))]];
  for (const group of results.groups()) {
    lines.push([group.toUpperCase()]);
    for (const row of results.rows(group)) {
      const values = results.contenders.map((contender) => cell(results, row, contender));
      const shares = ratios.map(({ contender, reference }) =>
        formatRatio(results.ratio(row, contender, reference)),
      );
      lines.push([`  ${row.name}`, row.measure.unit, ...values, ...shares]);
    }
    const blanks = results.contenders.map(() => '');
    const means = ratios.map(({ contender, reference }) =>
      formatRatio(results.groupRatio(group, contender, reference)),
    );
    lines.push(['  geometric mean', '', ...blanks, ...means]);
  }
  return layOut(lines);
}

export function formatFailures(results: Results): string {
  const lines: string[] = [];
  for (const scenario of results.scenarios) {
    for (const contender of results.contenders) {
      const reason = results.failure(scenario, contender);
      if (reason !== null) lines.push(`FAIL ${contender.name}, ${scenario.name}: ${reason}`);
    }
  }
  return lines.join('\n');
}

export function formatVerdicts(results: Results): string {
  const verdicts = results.verdicts();
  if (verdicts.length === 0) return '';
  const missed = verdicts.filter((verdict) => !verdict.met);
  const lines = missed.map(({ contender, measure, text }) => `  ${contender}: ${measure}: ${text}`);
  return [`targets: ${verdicts.length - missed.length} of ${verdicts.length} met; missed:`, ...lines].join(
    '\n',
  );
}

function machine(): string {
  return `${cpus().length} × ${cpus()[0]?.model ?? arch()}, ${(totalmem() / 2 ** 30).toFixed(0)} GB`;
}

export function headline(results: Results, at: Circumstances): string {
  const versions = results.contenders.map(({ name, version }) => `${name} (${version})`).join(', ');
  const cut = results.cutShort ? '; out of time: some were not measured' : '';
  const rounds = `medians of ${results.rounds} rounds in ${results.seconds.toFixed(0)} s`;
  return `${at.date}, Linux ${release()}, ${machine()}, pin ${at.pin}, ${rounds}${cut}\n${versions}`;
}

/** More than five digits would be noise; arrays of numbers stay on one line, as this repository formats JSON. */
function stringify(value: unknown): string {
  const rounded = (_: string, item: unknown) =>
    typeof item === 'number' ? Number(item.toPrecision(5)) : item;
  const text = JSON.stringify(value, rounded, 2);
  return text.replace(/\[\s+([-+\d.e,\s]+?)\s+\]/g, (_, items: string) => `[${items.replace(/\s+/g, ' ')}]`);
}

export function toJson(results: Results, at: Circumstances): string {
  const measures = results.rows().map((row) => ({
    group: row.scenario.group,
    name: row.name,
    unit: row.measure.unit,
    contenders: Object.fromEntries(
      results.contenders.map((contender) => [
        contender.name,
        {
          median: results.median(row.name, contender.name),
          samples: results.samples(row.name, contender.name),
          failure: results.failure(row.scenario, contender),
          ratios: Object.fromEntries(
            REFERENCES.map((reference) => [reference, results.ratio(row, contender.name, reference)]),
          ),
        },
      ]),
    ),
  }));
  const groups = results.groups().map((group) => ({
    group,
    geometricMeans: Object.fromEntries(
      results.contenders.map(({ name }) => [
        name,
        Object.fromEntries(
          REFERENCES.map((reference) => [reference, results.groupRatio(group, name, reference)]),
        ),
      ]),
    ),
  }));
  const head = {
    ...at,
    kernel: release(),
    node: process.version,
    machine: machine(),
    rounds: results.rounds,
  };
  const contenders = results.contenders.map(({ name, version }) => ({ name, version }));
  return `${stringify({ ...head, contenders, groups, measures, targets: results.verdicts() })}\n`;
}
