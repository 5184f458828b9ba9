/** `plyfs merge` and `plyfs squash`. */
import { UserError } from '../../overlay/user-error.js';
import { merge } from '../../tools/merge.js';
import { squash } from '../../tools/squash.js';
import { sizeText } from '../../tools/text.js';
import {
  lowersOf,
  type Parsed,
  Progress,
  path,
  paths,
  print,
  printJson,
  stackOptions,
  type ToolCommand,
  text,
  USUAL_CODES,
} from './command.js';
import { asBytes, layersOfMount } from './stack.js';

function report(parsed: Parsed, result: { objects: number; bytes: number }): number {
  if (parsed['json'] === true) printJson(result);
  else print(`${result.objects} objects, ${sizeText(result.bytes)}\n`);
  return 0;
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
    stackOptions(y)
      .positional('output', { type: 'string', demandOption: true, describe: 'a new directory' })
      .positional('mount', { type: 'string', describe: 'a mount point: its layers are merged' })
      .option('upper', { type: 'string', describe: 'upper directory' }),
  run: async (parsed) => {
    const given = lowersOf(parsed);
    const target = text(parsed['mount']);
    const mounted = target === null ? null : await layersOfMount(target);
    if (target !== null && mounted === null)
      throw new UserError(`'${target}' is no overlay mount; name layers with --lower.`);
    const upper = mounted === null ? text(parsed['upper']) : mounted.upper;
    const lower = mounted === null ? given.lower : asBytes(mounted.lower);
    if (lower.length === 0 && upper === null)
      throw new UserError('name layers with --lower and --upper, or a mount point.');
    const progress = new Progress();
    const result = merge({
      lower,
      data: mounted === null ? [] : asBytes(mounted.data),
      upper: upper === null ? null : Buffer.from(upper, 'latin1'),
      userxattr: mounted?.userxattr ?? given.userxattr,
      output: path(parsed['output']),
      onProgress: (objects) => progress.show(`${objects} objects`),
    });
    progress.done();
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
    y
      .positional('output', { type: 'string', demandOption: true, describe: 'a new directory' })
      .positional('layers', {
        type: 'string',
        array: true,
        demandOption: true,
        describe: 'layers, topmost first',
      })
      .option('userxattr', {
        type: 'boolean',
        describe: 'marks are user.overlay.*; found out when not given',
      }),
  run: async (parsed) => {
    const progress = new Progress();
    const result = squash({
      layers: paths(parsed['layers']),
      output: path(parsed['output']),
      userxattr: parsed['userxattr'] === undefined ? undefined : parsed['userxattr'] === true,
      onProgress: (objects) => progress.show(`${objects} objects`),
    });
    progress.done();
    return report(parsed, result);
  },
};
