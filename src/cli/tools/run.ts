/** `plyfs run`. */

import { type Fate, type RunResult, run } from '../../run/run.js';
import { UsageError } from '../usage-error.js';
import { ask, canAsk } from './ask.js';
import { type Parsed, print, printJson, type ToolCommand, text, texts } from './command.js';
import { changesText } from './diff.js';
import { needsNamespace, runInNamespace } from './run-namespace.js';

/** Arguments are bytes; the run API takes text. */
function utf8(latin1: string): string {
  return Buffer.from(latin1, 'latin1').toString('utf8');
}

function optional<K extends string>(key: K, value: string | null): { [k in K]?: string } {
  return (value === null ? {} : { [key]: utf8(value) }) as { [k in K]?: string };
}

function shownChanges({ changes, summary }: Pick<RunResult, 'changes' | 'summary'>): string {
  return changesText(changes, summary);
}

function resultText(result: RunResult): string {
  const { kept, committed, changes } = result;
  const where = (kept ?? []).map(({ path, upper }) => `changes of ${path} are kept in ${upper}\n`).join('');
  return `${committed && changes.length > 0 ? 'committed\n' : ''}${where}`;
}

const ANSWERS = { apply: 'commit', keep: 'keep', drop: 'drop' } as const;

/** Shows the changes, then asks. */
async function askFate(made: Parameters<typeof shownChanges>[0], lower: string): Promise<Fate> {
  print(shownChanges(made), 2);
  const question = `Apply these changes to ${lower}, keep them in a directory, or drop them? [apply/keep/DROP] `;
  const fate = ANSWERS[await ask(question, ['apply', 'keep', 'drop'], 'drop')];
  if (fate === 'drop') print('dropped\n', 2);
  return fate;
}

/** Whether there is somebody to ask, and no option says what to do with the changes. */
function isToBeAsked(parsed: Parsed): boolean {
  const said = ['commit', 'keep', 'drop', 'upper', 'json', 'readOnly'];
  return canAsk() && said.every((option) => parsed[option] === undefined);
}

export const runCommand: ToolCommand = {
  syntax: 'run',
  usage: 'plyfs run [options] -- command...',
  unknownHint: "; write the command behind '--'",
  describe: `Runs a command over this machine's root, or over any layers, and shows what it changed; the changes are dropped unless they
are kept or committed; on a terminal it asks. It has a mount, process, IPC and (without --net) network namespace of its own, /dev with harmless nodes, /sys
read-only, and an empty /run. The changes are printed on standard error.`,
  examples: [
    ['plyfs run -- make install', 'what would this do to the machine? Then: do it, keep it, or drop it'],
    ['plyfs run --net --keep -- apt-get install -y hello', 'with network; the upper stays'],
    ['plyfs run --commit -- ./installer.sh', 'try it, then do it'],
    ['plyfs run --lower /rootfs --upper /u -- /bin/sh', 'a shell over a root filesystem, changes in /u'],
  ],
  exitCodes:
    "the command's; 125 it could not be started; 126 and 127 the command can't be run or is not there",
  failureCode: () => 125,
  options: (y) =>
    y
      .option('lower', {
        type: 'string',
        array: true,
        nargs: 1,
        describe: 'lower directory; repeat, topmost first (/)',
      })
      .option('upper', { type: 'string', describe: 'a directory for the changes, which stays' })
      .option('keep', { type: 'boolean', describe: 'keep the changes in a temporary directory' })
      .option('commit', { type: 'boolean', describe: 'apply the changes to the topmost lower in the end' })
      .option('drop', { type: 'boolean', describe: 'drop the changes, without a question' })
      .conflicts('drop', ['keep', 'commit', 'upper'])
      .conflicts('read-only', ['keep', 'commit', 'upper'])
      .option('read-only', { type: 'boolean', describe: 'let nothing be changed' })
      .option('net', { type: 'boolean', describe: "share the machine's network" })
      .option('scratch', { type: 'string', describe: 'where a temporary upper is made' }),
  run: async (parsed) => {
    const command = texts(parsed['--']).map(utf8);
    if (command.length === 0) throw new UsageError("no command is given; write it behind '--'.");
    const lower = texts(parsed['lower']).map(utf8);
    if (needsNamespace(lower)) return await runInNamespace();
    const isJson = parsed['json'] === true;
    let wasShown = false;
    const decide = (made: Pick<RunResult, 'changes' | 'summary'>): Promise<Fate> => {
      wasShown = true;
      return askFate(made, lower[0] ?? '/');
    };
    const result = await run({
      command,
      ...(lower.length > 0 ? { lower } : {}),
      ...optional('upper', text(parsed['upper'])),
      ...optional('scratch', text(parsed['scratch'])),
      ...(isToBeAsked(parsed) ? { decide } : {}),
      keep: parsed['keep'] === true,
      commit: parsed['commit'] === true,
      readOnly: parsed['readOnly'] === true,
      net: parsed['net'] === true,
      output: isJson ? 'ignore' : 'inherit',
    });
    if (isJson) printJson(result);
    else if (parsed['readOnly'] !== true)
      print(`${wasShown ? '' : shownChanges(result)}${resultText(result)}`, 2);
    return result.exitCode;
  },
};
