/** `plyfs layers`. */
import { writeFileSync } from 'node:fs';
import { type LayersResult, layers } from '../../tools/layers.js';
import { layersPage } from '../../tools/layers-page.js';
import { columns, sizeText, tried } from '../../tools/text.js';
import { count, print, printJson, type ToolCommand, text, USUAL_CODES } from './command.js';
import { layersOf, mountOrStack } from './layer-options.js';

/** How many files are named by default. */
const TOP = 5;

function resultText(result: LayersResult): string {
  const head = ['layer', 'kind', 'files', 'dirs', 'whiteouts', 'size', 'on disk', 'shadowed', 'directory'];
  const rows = result.layers.map((one) => [
    String(one.layer),
    one.kind,
    String(one.files),
    String(one.directories),
    String(one.whiteouts),
    sizeText(one.bytes),
    sizeText(one.allocated),
    sizeText(one.shadowedBytes),
    one.directory,
  ]);
  const parts = [columns([head, ...rows], [0, 2, 3, 4, 5, 6, 7])];
  const waste = result.bytes === 0 ? 0 : Math.round((100 * result.shadowedBytes) / result.bytes);
  parts.push(
    `\nvisible: ${result.visibleFiles} files, ${sizeText(result.visibleBytes)}; all layers: ${sizeText(result.bytes)}, of which ${sizeText(result.shadowedBytes)} (${waste}%) shadowed\n`,
  );
  const lists: [string, 'largest' | 'largestShadowed'][] = [
    ['largest files', 'largest'],
    ['largest shadowed files', 'largestShadowed'],
  ];
  for (const [title, key] of lists) {
    const files = result.layers
      .flatMap((one) =>
        one[key].map((file) => [sizeText(file.bytes), `layer ${one.layer}`, file.path, file.bytes] as const),
      )
      .sort((a, b) => b[3] - a[3])
      .slice(0, Math.max(...result.layers.map((one) => one[key].length), 0));
    if (files.length > 0)
      parts.push(
        `\n${title}\n${columns(
          files.map(([size, layer, name]) => [size, layer, name]),
          [0],
        )}`,
      );
  }
  return parts.join('');
}

function warnOf(unreadable: readonly string[]): void {
  const [first] = unreadable;
  if (first === undefined) return;
  const which =
    unreadable.length === 1
      ? "1 path can't be read and is not counted"
      : `${unreadable.length} paths can't be read and are not counted, the first of them`;
  print(`plyfs: warning: ${which}: ${first}.\n`, 2);
}

export const layersCommand: ToolCommand = {
  syntax: 'layers [mount]',
  describe: `Size of each layer, what of it is shadowed by layers above (and so wasted), the largest files, and the size of the merged view.`,
  examples: [
    ['plyfs layers /merged', 'a live mount of plyfs or of the kernel'],
    ['plyfs layers --upper /u --lower /l1 --lower /l2', 'directories'],
    ['plyfs layers /merged --html report.html', 'a page with a treemap, which needs no network'],
  ],
  exitCodes: USUAL_CODES,
  options: (y) =>
    mountOrStack(y)
      .option('top', { type: 'string', describe: `how many of the largest files to name (${TOP})` })
      .option('html', { type: 'string', describe: 'write one self-contained HTML page to this file' }),
  run: async (parsed) => {
    const stack = await layersOf(parsed);
    const result = layers({ ...stack, top: count(parsed, 'top') ?? TOP, tree: parsed['html'] !== undefined });
    const page = text(parsed['html']);
    if (page !== null)
      tried('write', page, () => writeFileSync(Buffer.from(page, 'latin1'), layersPage(result)));
    warnOf(result.unreadable);
    if (parsed['json'] === true) printJson(result);
    else if (page === null) print(resultText(result));
    return 0;
  },
};
