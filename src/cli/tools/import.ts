/** `plyfs import`. */
import { existsSync } from 'node:fs';
import { type ImportResult, importLayers } from '../../tools/oci/import.js';
import { columns, sizeText } from '../../tools/text.js';
import { UsageError } from '../usage-error.js';
import {
  count,
  flag,
  Progress,
  path,
  print,
  printJson,
  type ToolCommand,
  text,
  USUAL_CODES,
} from './command.js';

/** A path and the tag after it: `image.tar:latest`. A file that has the whole name takes precedence. */
function sourceAndTag(given: string): [string, string | null] {
  if (existsSync(Buffer.from(given, 'latin1'))) return [given, null];
  const match = /^(.+?):([^/:][^/]*)$/s.exec(given);
  return match === null ? [given, null] : [match[1]!, match[2]!];
}

const UNITS: Readonly<Record<string, number>> = { '': 1, K: 2 ** 10, M: 2 ** 20, G: 2 ** 30, T: 2 ** 40 };

/** `--max-size` in bytes; undefined when it is not given. Throws a UsageError. */
function maxSize(value: unknown): number | undefined {
  const given = text(value);
  if (given === null) return undefined;
  const match = /^(\d{1,12})([KMGT]?)$/.exec(given);
  if (match === null)
    throw new UsageError(`--max-size takes a number with K, M, G or T behind it, not '${given}'.`);
  return Number(match[1]) * UNITS[match[2]!]!;
}

function resultText(result: ImportResult): string {
  const rows = result.layers.map((layer) => [
    layer.diffId,
    layer.reused ? 'there already' : `${layer.entries} entries`,
    layer.reused ? '' : sizeText(layer.bytes),
  ]);
  const head = result.name === null ? '' : `${result.name}\n`;
  return `${head}${columns(rows, [1, 2])}\nlowerdir=${result.lowerdir}\n`;
}

export const importCommand: ToolCommand = {
  syntax: 'import <source> <directory>',
  describe: `Unpacks a layer (tar, gzip or zstd) into a new directory, with the kernel's whiteouts; or a whole image (docker save, OCI layout
or archive) into a store of layers that images share. Digests are verified; an archive that tries to leave its directory is refused.`,
  examples: [
    ['plyfs import layer.tar.gz /layer', 'one layer'],
    [
      'plyfs import debian.tar /store',
      'an image by docker save or skopeo; prints the lowerdir= that mounts it',
    ],
    ['plyfs import /oci-layout:latest /store', 'an OCI layout with several images'],
    ['plyfs -o "$(plyfs import image.tar /store | tail -n 1)" /merged', 'import and mount'],
  ],
  exitCodes: USUAL_CODES,
  options: (y) =>
    y
      .positional('source', {
        type: 'string',
        demandOption: true,
        describe: 'a tar, or an OCI layout; :TAG chooses an image',
      })
      .positional('directory', {
        type: 'string',
        demandOption: true,
        describe: 'a new directory, or a store',
      })
      .option('layer', {
        type: 'boolean',
        describe: 'take the source for a layer even if it looks like an image',
      })
      .option('digest', { type: 'string', describe: 'a layer must have this digest' })
      .option('diff-id', { type: 'string', describe: 'and this diffID' })
      .option('devices', { type: 'boolean', describe: 'make device nodes, which are left out otherwise' })
      .option('userxattr', { type: 'boolean', describe: 'mark opaque directories with user.overlay.*' })
      .option('max-size', { type: 'string', describe: 'refuse a layer that unpacks to more (64G)' })
      .option('max-entries', { type: 'string', describe: 'refuse a layer with more entries (5000000)' }),
  run: async (parsed) => {
    const [source, tag] = sourceAndTag(text(parsed['source'])!);
    const result = await Progress.while((progress) =>
      importLayers({
        source: Buffer.from(source, 'latin1'),
        directory: path(parsed['directory']),
        tag,
        isLayer: parsed['layer'] === true,
        digest: text(parsed['digest']) ?? undefined,
        diffId: text(parsed['diffId']) ?? undefined,
        userxattr: flag(parsed, 'userxattr'),
        devices: flag(parsed, 'devices'),
        maxBytes: maxSize(parsed['maxSize']),
        maxEntries: count(parsed, 'maxEntries'),
        onProgress: ({ layers, layersDone, entries }) =>
          progress.show(`${layersDone} of ${layers} layers, ${entries} entries`),
      }),
    );
    for (const layer of result.layers)
      for (const warning of layer.warnings) print(`plyfs: warning: ${warning}.\n`, 2);
    if (parsed['json'] === true) printJson(result);
    else print(resultText(result));
    return 0;
  },
};
