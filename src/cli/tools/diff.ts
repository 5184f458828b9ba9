/** `plyfs diff`. */
import { type Change, type DiffOptions, type DiffSummary, diff } from '../../tools/diff.js';
import { columns, sizeText } from '../../tools/text.js';
import { type Parsed, print, printJson, type ToolCommand, USUAL_CODES } from './command.js';
import { lowerOptions, upperOf } from './layer-options.js';

const LETTERS: Readonly<Record<Change['kind'], string>> = {
  added: 'A',
  changed: 'C',
  deleted: 'D',
  replaced: 'T',
  renamed: 'R',
  unchanged: '=',
};

async function optionsOf(parsed: Parsed): Promise<DiffOptions> {
  const layers = await upperOf(parsed, 'upper', 'nothing can have been changed');
  return { ...layers, unchanged: parsed['all'] === true, patch: parsed['patch'] === true };
}

function sizes({ size, sizeBefore }: Change): string {
  if (size === undefined) return sizeBefore === undefined ? '' : `-${sizeText(sizeBefore)}`;
  if (sizeBefore === undefined) return sizeText(size);
  return size === sizeBefore ? sizeText(size) : `${sizeText(sizeBefore)} -> ${sizeText(size)}`;
}

function detail(change: Change): string {
  if (change.kind === 'replaced') return `${change.typeBefore ?? 'something'} -> ${change.type}`;
  const what = (change.what ?? []).filter((one) => one !== 'unknown');
  return what.join(', ');
}

function row(change: Change): string[] {
  const name = change.type === 'directory' ? `${change.path}/` : change.path;
  const from = change.from === undefined ? '' : `${change.from} -> `;
  return [LETTERS[change.kind], from + name, sizes(change), detail(change)];
}

/** The sentence under a list of changes. */
function summaryText(summary: DiffSummary): string {
  const { bytesAdded, bytesRemoved, bytesUnchanged, ...counts } = summary;
  const words = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([kind, count]) => `${count} ${kind}`);
  if (words.length === 0) return 'no changes\n';
  const copies = bytesUnchanged > 0 ? `, ${sizeText(bytesUnchanged)} in copies without a change` : '';
  return `${words.join(', ')}; ${sizeText(bytesAdded)} written, ${sizeText(bytesRemoved)} gone${copies}\n`;
}

/** Changes as lines, then a summary. */
export function changesText(changes: readonly Change[], summary: DiffSummary): string {
  return columns(changes.map(row)) + summaryText(summary);
}

export const diffCommand: ToolCommand = {
  syntax: 'diff <upper>',
  describe: `What an upper changes against its lowers, or what a mount has changed so far.

A added, C changed (and in what), D deleted, R renamed, T replaced by another type or an emptied directory,
= copied up without a change (with --all)`,
  examples: [
    ['plyfs diff /merged', 'a live mount of plyfs or of the kernel'],
    ['plyfs diff /upper --lower /l1 --lower /l2', 'directories; the first lower is the topmost'],
    ['plyfs diff /upper', 'without lowers: what the marks in the upper tell'],
    ['plyfs diff /merged --patch', 'with unified diffs of text files'],
    ['plyfs diff /merged --stat', 'numbers only'],
  ],
  exitCodes: USUAL_CODES,
  options: (y) =>
    lowerOptions(y)
      .positional('upper', {
        type: 'string',
        demandOption: true,
        describe: 'an upper directory or a mount point',
      })
      .option('all', { alias: 'a', type: 'boolean', describe: 'copies without a change, too' })
      .option('patch', {
        alias: 'p',
        type: 'boolean',
        describe: 'show what changed in text files, up to 1 MiB and 4000 lines',
      })
      .option('stat', { type: 'boolean', describe: 'print only numbers' }),
  run: async (parsed) => {
    const result = diff(await optionsOf(parsed));
    if (parsed['json'] === true) printJson(parsed['stat'] === true ? result.summary : result);
    else if (parsed['stat'] === true) print(summaryText(result.summary));
    else {
      print(changesText(result.changes, result.summary));
      for (const { patch } of result.changes) if (patch !== undefined) print(`\n${patch}`);
    }
    return 0;
  },
};
