/** `plyfs layers`. */
import { writeFileSync } from 'node:fs';
import { UserError } from '../../overlay/user-error.js';
import { type LayersOptions, type LayersResult, layers } from '../../tools/layers.js';
import { layersPage } from '../../tools/layers-page.js';
import { columns, sizeText } from '../../tools/text.js';
import {
  lowersOf,
  type Parsed,
  path,
  print,
  printJson,
  stackOptions,
  type ToolCommand,
  text,
  USUAL_CODES,
} from './command.js';
import { asBytes, layersOfMount } from './stack.js';

async function optionsOf(parsed: Parsed): Promise<LayersOptions> {
  const rest = { top: Number(parsed['top']), tree: parsed['html'] !== undefined };
  const given = lowersOf(parsed);
  const upper = parsed['upper'] === undefined ? null : path(parsed['upper']);
  if (given.lower.length > 0 || upper !== null) return { ...given, upper, ...rest };
  const target = text(parsed['mount']);
  if (target === null) throw new UserError('name a mount point, or layers with --lower and --upper.');
  const mounted = await layersOfMount(target);
  if (mounted === null)
    throw new UserError(`'${target}' is no overlay mount; name its layers with --lower and --upper.`);
  return {
    lower: asBytes(mounted.lower),
    data: asBytes(mounted.data),
    upper: mounted.upper === null ? null : Buffer.from(mounted.upper, 'latin1'),
    userxattr: mounted.userxattr,
    ...rest,
  };
}

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
    stackOptions(y)
      .positional('mount', { type: 'string', describe: 'a mount point' })
      .option('upper', { type: 'string', describe: 'upper directory' })
      .option('top', { type: 'number', default: 5, describe: 'how many of the largest files to name' })
      .option('html', { type: 'string', describe: 'write one self-contained HTML page to this file' }),
  run: async (parsed) => {
    const options = await optionsOf(parsed);
    const result = layers(options);
    const page = text(parsed['html']);
    if (page !== null) writeFileSync(Buffer.from(page, 'latin1'), layersPage(result));
    if (parsed['json'] === true) printJson(result);
    else if (page === null) print(resultText(result));
    return 0;
  },
};
