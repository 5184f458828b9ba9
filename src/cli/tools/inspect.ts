/** `plyfs inspect`. */
import { readdirSync, readlinkSync, statSync } from 'node:fs';
import { UserError } from '../../overlay/user-error.js';
import { isSystemError } from '../../sys/errno.js';
import { type InspectOptions, type InspectResult, inspect, type LayerFinding } from '../../tools/inspect.js';
import { columns, sizeText, tried } from '../../tools/text.js';
import { canonical } from '../canonical.js';
import { type Parsed, path, print, printJson, type ToolCommand, text } from './command.js';
import { givenLayers, mountedLayers, stackOptions } from './layer-options.js';
import { layersAt } from './stack.js';

/** Processes that have a path of a live mount open. */
function openBy(path: string): number[] {
  const found = new Set<number>();
  for (const pid of readdirSync('/proc').filter((name) => /^\d+$/.test(name))) {
    try {
      for (const fd of readdirSync(`/proc/${pid}/fd`)) {
        if (readlinkSync(`/proc/${pid}/fd/${fd}`, 'latin1') === path) found.add(Number(pid));
      }
    } catch (error) {
      // The process has ended, or we may not look at it.
      if (!isSystemError(error)) throw error;
    }
  }
  return [...found].sort((a, b) => a - b);
}

interface Asked {
  readonly options: InspectOptions;
  /** Path of the object on a live mount; null without one. */
  readonly live: string | null;
}

/** The mount of a path that may not exist: that of its nearest existing parent. */
async function nearestMount(given: string): Promise<Awaited<ReturnType<typeof layersAt>>> {
  const parts = given.split('/');
  // The last component is never followed: the question is about the symlink itself.
  const rest = [parts.pop()!];
  const parent = (): string => (parts.length === 0 ? '.' : parts.join('/') || '/');
  const isThere = (): boolean =>
    statSync(Buffer.from(parent(), 'latin1'), { throwIfNoEntry: false }) !== undefined;
  while (parts.length > 0 && !tried('use', given, isThere)) rest.unshift(parts.pop()!);
  const at = await layersAt(parent());
  if (at === null) return null;
  return { layers: at.layers, inside: [at.inside, ...rest].filter((part) => part !== '').join('/') };
}

/** Whether a path resolves. One that does not exist, or can't be reached, may still be asked about. */
function leadsSomewhere(target: string): boolean {
  try {
    canonical(target);
    return true;
  } catch (error) {
    if (error instanceof UserError) return false;
    throw error;
  }
}

async function asked(parsed: Parsed): Promise<Asked> {
  const given = givenLayers(parsed);
  if (given !== null) return { options: { ...given, path: path(parsed['path']) }, live: null };
  const target = text(parsed['path'])!.replace(/(?<=.)\/+$/, '');
  const mount = leadsSomewhere(target) ? await layersAt(target) : null;
  const isRoot = mount !== null && mount.inside === '';
  const at = isRoot ? mount : await nearestMount(target);
  if (at === null) {
    throw new UserError(`'${target}' is on no overlay mount; name its layers with --lower and --upper.`);
  }
  const { layers, inside } = at;
  return {
    options: { ...mountedLayers(layers), path: Buffer.from(inside, 'latin1') },
    live: inside === '' ? layers.mountpoint : `${layers.mountpoint}/${inside}`,
  };
}

function findingRow(finding: LayerFinding, searched: string): string[] {
  const { layer, kind, directory, state, type, mode, owner, size } = finding;
  const facts =
    type === undefined
      ? ''
      : `${type} ${mode} ${owner}${type === 'file' ? ` ${sizeText(size!)}` : ''} ino ${finding.ino}`;
  const marks = Object.entries(finding.marks ?? {}).map(([name, value]) => `${name}=${value}`);
  const where = finding.path === searched ? '' : `searched at ${finding.path}`;
  return [
    String(layer),
    kind,
    directory,
    state,
    [facts, ...marks, where, finding.why].filter((part) => part !== '').join('; '),
  ];
}

function resultText(result: InspectResult): string {
  const { path: name, exists, winner } = result;
  const head = exists
    ? `${name}: ${result.type} from layer ${winner}, inode ${result.ino}\n\n`
    : `${name}: nothing is there\n\n`;
  return head + columns(result.layers.map((finding) => findingRow(finding, name)));
}

export const inspectCommand: ToolCommand = {
  syntax: 'inspect <path>',
  describe: `Why a path looks as it does: what each layer has there, top first, which one is shown, and what hides the others.

shown: what callers see; merged: a directory below it that adds names; data: the data of a metacopy above;
whiteout: hides what is below; hidden: not seen, for the reason given; absent: nothing here`,
  examples: [
    ['plyfs inspect /merged/etc/passwd', 'on a live mount of plyfs or of the kernel'],
    [
      'plyfs inspect --upper /u --lower /l1 --lower /l2 etc/passwd',
      'from the root of layers that need not be mounted',
    ],
  ],
  exitCodes: '0 callers see something; 1 they see nothing, or it failed, for the reason printed',
  options: (y) =>
    stackOptions(y).positional('path', {
      type: 'string',
      demandOption: true,
      describe: 'a path on a mount, or from the root of the layers',
    }),
  run: async (parsed) => {
    const { options, live } = await asked(parsed);
    const result = inspect(options);
    const processes = live === null ? null : openBy(live);
    if (parsed['json'] === true) printJson(processes === null ? result : { ...result, openBy: processes });
    else {
      print(resultText(result));
      if (processes !== null && processes.length > 0) print(`\nopen by process ${processes.join(', ')}\n`);
    }
    return result.exists ? 0 : 1;
  },
};
