/** `plyfs export`. */
import { UserError } from '../../overlay/user-error.js';
import type { Compression } from '../../tools/oci/compression.js';
import { type ExportResult, exportLayer } from '../../tools/oci/export.js';
import { sizeText } from '../../tools/text.js';
import { UsageError } from '../usage-error.js';
import { Progress, print, printJson, type ToolCommand, text, USUAL_CODES } from './command.js';
import { lowerOptions, upperOf } from './layer-options.js';

function resultText(result: ExportResult): string {
  return `${[
    `digest ${result.digest}`,
    `diffID ${result.diffId}`,
    `${result.entries} entries, ${sizeText(result.size)}${result.size === result.diffSize ? '' : ` (${sizeText(result.diffSize)} unpacked)`}`,
  ].join('\n')}\n`;
}

function maxTime(value: unknown): number | undefined {
  const option = text(value);
  const given = option ?? process.env['SOURCE_DATE_EPOCH'];
  if (given === undefined) return undefined;
  if (/^\d{1,12}$/.test(given)) return Number(given);
  const name = option === null ? 'SOURCE_DATE_EPOCH' : '--max-time';
  throw new UsageError(`${name} takes seconds since 1970, not '${given}'.`);
}

export const exportCommand: ToolCommand = {
  syntax: 'export <layer>',
  describe: `Writes a layer, usually an upper, as the tar of an OCI layer: whiteouts as .wh. files, with hard links, xattrs, ACLs and
capabilities. The same layer gives the same bytes.`,
  examples: [
    ['plyfs export /upper -o layer.tar.gz', 'prints digest and diffID'],
    ['plyfs export /merged -o layer.tar.gz', 'what a live mount has changed so far'],
    ['plyfs export /upper --lower /l1 -o layer.tar --compression none', 'an upper with renamed directories'],
    ['plyfs export /upper | tar -tzv', 'to another program'],
    [
      'SOURCE_DATE_EPOCH=0 plyfs export /upper -o layer.tar.gz',
      'no time later than that, for reproducible builds',
    ],
  ],
  exitCodes: USUAL_CODES,
  options: (y) =>
    lowerOptions(y)
      .positional('layer', {
        type: 'string',
        demandOption: true,
        describe: 'a layer directory, or a mount point',
      })
      .option('output', {
        alias: 'o',
        type: 'string',
        describe: 'the file to write; standard output when not given',
      })
      .option('compression', { choices: ['gzip', 'zstd', 'none'], default: 'gzip', describe: 'of the tar' })
      .option('max-time', {
        type: 'string',
        describe: 'later times become this (seconds); default: SOURCE_DATE_EPOCH',
      }),
  run: async (parsed) => {
    const { upper: layer, lower, userxattr } = await upperOf(parsed, 'layer', 'there is nothing to export');
    const output = text(parsed['output']);
    if (output === null && parsed['json'] === true)
      throw new UsageError(
        '--json needs a file for the tar, which would go to the same place; name it with -o.',
      );
    if (output === null && process.stdout.isTTY)
      throw new UserError('a tar is no text for a terminal; name a file with -o.');
    const result = await Progress.while((progress) =>
      exportLayer({
        layer,
        lower,
        userxattr,
        output: output === null ? process.stdout : Buffer.from(output, 'latin1'),
        compression: text(parsed['compression']) as Compression,
        maxTime: maxTime(parsed['maxTime']),
        onProgress: (entries) => progress.show(`${entries} entries`),
      }),
    );
    for (const warning of result.warnings) print(`plyfs: warning: ${warning}\n`, 2);
    if (output === null) return 0;
    if (parsed['json'] === true) printJson(result);
    else print(resultText(result));
    return 0;
  },
};
