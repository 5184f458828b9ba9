/** `plyfs check`. */
import { UserError } from '../../overlay/user-error.js';
import { type CheckOptions, check, type Finding, type WhiteoutForm } from '../../tools/check/check.js';
import { pathBytes, quoted } from '../../tools/text.js';
import { canonical } from '../canonical.js';
import { type Parsed, print, printJson, type ToolCommand, text } from './command.js';
import { layersOf, mountOrStack } from './layer-options.js';
import { allMountedLayers } from './stack.js';

const CORRECTED = 1;
const LEFT = 4;

/** A plyfs mount locks its upper, but only the mounts themselves know which lowers they use. Throws a UserError. */
async function refuseLive(options: CheckOptions): Promise<void> {
  const mine = new Set(
    [options.upper, options.work, ...options.lower].flatMap((dir) =>
      dir === null || dir === undefined ? [] : canonical(pathBytes(dir)),
    ),
  );
  for (const { mountpoint, lower } of await allMountedLayers()) {
    const used = lower.find((dir) => mine.has(dir));
    if (used !== undefined)
      throw new UserError(
        `'${quoted(used)}' is in use by the mount on '${quoted(mountpoint)}'; unmount that before a repair.`,
      );
  }
}

async function optionsOf(parsed: Parsed): Promise<CheckOptions> {
  return {
    ...(await layersOf(parsed)),
    form: (text(parsed['whiteout']) ?? undefined) as WhiteoutForm | undefined,
    repair: parsed['repair'] === true,
    forgetVolatile: parsed['forgetVolatile'] === true,
  };
}

function line(finding: Finding): string {
  const { directory, path: name, problem, repair, code } = finding;
  const todo = repair === null ? 'no repair without a loss' : `repair: ${repair}`;
  return `${directory}/${name}: ${problem} [${code}]\n    ${todo}\n`;
}

function outcome({ directory, path: name, repaired, failure }: Finding): string {
  if (repaired === true) return '';
  return `${directory}/${name}: not repaired${failure === undefined ? '' : ` (${failure})`}\n`;
}

export const checkCommand: ToolCommand = {
  syntax: 'check [mount]',
  describe: `Finds what is wrong in layers: leftovers in work directories, whiteouts that hide nothing or that the kernel does not read,
bad redirects and origins, renamed directories that show twice, marks of the wrong namespace. Nothing is changed without --repair; a repair lists everything first.`,
  examples: [
    ['plyfs check --upper /u --work /w --lower /l1 --lower /l2', 'a whole stack, mounted or not'],
    ['plyfs check --lower /layer', 'one layer by itself'],
    ['plyfs check --upper /u --work /w --lower /l --repair', 'make right what can be'],
    [
      'plyfs check --lower /layer --whiteout aufs --repair',
      'convert whiteouts to the form of OCI layers; chardev: back',
    ],
  ],
  exitCodes:
    '0 nothing is wrong; 1 all that was wrong is repaired; 4 something wrong is left; 8 the check failed, for the reason printed; 16 the command line is wrong',
  failureCode: (isUsage) => (isUsage ? 16 : 8),
  options: (y) =>
    mountOrStack(y)
      .option('work', { type: 'string', describe: 'work directory' })
      .option('repair', { type: 'boolean', describe: 'change what is wrong; the layers must not be mounted' })
      .option('forget-volatile', {
        type: 'boolean',
        describe: 'with --repair: accept what a volatile mount may have lost',
      })
      .option('whiteout', {
        choices: ['chardev', 'xattr', 'aufs'],
        describe: 'the form that whiteouts shall have',
      }),
  run: async (parsed) => {
    const options = await optionsOf(parsed);
    if (options.repair) await refuseLive(options);
    const isJson = parsed['json'] === true;
    const list = (findings: readonly Finding[]): void => print(findings.map(line).join(''));
    const result = check({ ...options, ...(isJson ? {} : { beforeRepair: list }) });
    if (isJson) printJson(result);
    else {
      if (options.repair) print(result.findings.map(outcome).join(''));
      else list(result.findings);
      const { findings, repaired, left } = result;
      print(
        findings.length === 0
          ? 'nothing is wrong\n'
          : `${findings.length} found, ${repaired} repaired, ${left} left\n`,
      );
    }
    if (result.left > 0) return LEFT;
    return result.repaired > 0 ? CORRECTED : 0;
  },
};
