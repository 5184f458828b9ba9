/** `plyfs merge` and `plyfs squash`. */
import { merge } from '../../tools/merge.js';
import { squash } from '../../tools/squash.js';
import { sizeText } from '../../tools/text.js';
import {
  flag,
  type Parsed,
  Progress,
  path,
  paths,
  print,
  printJson,
  type ToolCommand,
  USUAL_CODES,
} from './command.js';
import { layersOf, mountOrStack, userxattrOption } from './layer-options.js';

function report(parsed: Parsed, result: { objects: number; bytes: number }): number {
  if (parsed['json'] === true) printJson(result);
  else print(`${result.objects} objects, ${sizeText(result.bytes)}\n`);
  return 0;
}

function shownOn(progress: Progress): (objects: number) => void {
  return (objects) => progress.show(`${objects} objects`);
}

export const mergeCommand: ToolCommand = {
  syntax: 'merge <output> [mount]',
  describe: `Copies what a mount of the layers shows into a new directory: no whiteouts, no marks, nothing that is shadowed.
Hard links, xattrs, ACLs, capabilities, owners, times and holes are kept.`,
  examples: [
    ['plyfs merge /flat --upper /u --lower /l1 --lower /l2', 'an upper folded into a copy of its lowers'],
    ['plyfs merge /flat /merged', 'the layers of a live mount'],
  ],
  exitCodes: USUAL_CODES,
  options: (y) =>
    mountOrStack(y.positional('output', { type: 'string', demandOption: true, describe: 'a new directory' })),
  run: async (parsed) => {
    const { lower, data, upper, userxattr } = await layersOf(parsed);
    const output = path(parsed['output']);
    const result = await Progress.while((progress) =>
      merge({ lower, data, upper, userxattr, output, onProgress: shownOn(progress) }),
    );
    return report(parsed, result);
  },
};

export const squashCommand: ToolCommand = {
  syntax: 'squash <output> <layers..>',
  describe: `Makes one layer of several, topmost first. Above whatever is below them it does what they did: whiteouts stay, and
directories that hid something become opaque.`,
  examples: [['plyfs squash /one /upper /l1 /l2', '/one can take the place of the three in lowerdir=']],
  exitCodes: USUAL_CODES,
  options: (y) =>
    userxattrOption(y)
      .positional('output', { type: 'string', demandOption: true, describe: 'a new directory' })
      .positional('layers', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'layers, topmost first',
      }),
  run: async (parsed) => {
    const layers = paths(parsed['layers']);
    const output = path(parsed['output']);
    const userxattr = flag(parsed, 'userxattr');
    const result = await Progress.while((progress) =>
      squash({ layers, output, userxattr, onProgress: shownOn(progress) }),
    );
    return report(parsed, result);
  },
};
