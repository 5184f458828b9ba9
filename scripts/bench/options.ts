/** The benchmark's command line. */

import { parseArgs } from 'node:util';

export type Pin = 'none' | 'same' | 'split';

export interface Options {
  readonly quick: boolean;
  readonly rounds: number;
  readonly groups: readonly string[];
  /** Names (or parts of names) of contenders; empty: all. */
  readonly only: readonly string[];
  /** Parts of scenario or measure names; empty: all. */
  readonly filter: readonly string[];
  readonly peers: readonly { readonly name: string; readonly command: string }[];
  readonly pin: Pin;
  readonly json: string | null;
  readonly svg: string | null;
  readonly imageDir: string | null;
  readonly list: boolean;
  readonly help: boolean;
}

export const HELP = `usage: npm run bench -- [options]

Compares plyfs (each data mode) with fuse-overlayfs, kernel overlayfs and the plain filesystem:
interleaved rounds on fresh layers in an ext4 image, medians, ratios. Needs root and loop devices.

  --quick              the essentials with smaller trees, under 3 minutes
  --rounds N           rounds (default 3; with --quick as many of 3 as fit)
  --group A,B          only these groups (see --list)
  --filter A,B         only scenarios with one of these words in their name
  --only A,B           only contenders with one of these words in their name
  --peer NAME=COMMAND  one more contender, called as COMMAND -o lowerdir=..,upperdir=..,workdir=.. MNT
  --pin same|split     server and clients on one CPU, or on two
  --json FILE          all samples and medians
  --svg FILE           chart of the groups
  --image-dir DIR      where the image file goes (default: the temporary directory)
  --list               groups, scenarios and measures
  --help               this text

Cold means: a new mount over layers whose pages and inodes are in memory. From disk means: all caches
dropped as well. A contender that fails or hangs gets FAIL in that scenario and the run goes on.`;

/** Thrown for an invalid command line; the text is for the user. */
export class UsageError extends Error {}

const SPEC = {
  quick: { type: 'boolean', default: false },
  rounds: { type: 'string' },
  group: { type: 'string', multiple: true },
  filter: { type: 'string', multiple: true },
  only: { type: 'string', multiple: true },
  peer: { type: 'string', multiple: true },
  pin: { type: 'string', default: 'none' },
  json: { type: 'string' },
  svg: { type: 'string' },
  'image-dir': { type: 'string' },
  list: { type: 'boolean', default: false },
  help: { type: 'boolean', default: false },
} as const;

function words(values: readonly string[] | undefined): string[] {
  return (values ?? [])
    .flatMap((value) => value.split(','))
    .map((word) => word.trim())
    .filter((word) => word !== '');
}

function parsePeer(text: string): { name: string; command: string } {
  const cut = text.indexOf('=');
  if (cut < 1 || cut === text.length - 1) throw new UsageError(`--peer ${text}: expected name=command`);
  return { name: text.slice(0, cut), command: text.slice(cut + 1) };
}

export function parseOptions(argv: readonly string[]): Options {
  let values: ReturnType<typeof parse>;
  try {
    values = parse(argv);
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
  const rounds = Number(values.rounds ?? 3);
  if (!Number.isInteger(rounds) || rounds < 1) throw new UsageError(`--rounds ${values.rounds}: not a count`);
  const pin = values.pin;
  if (pin !== 'none' && pin !== 'same' && pin !== 'split') {
    throw new UsageError(`--pin ${pin}: expected same or split`);
  }
  return {
    quick: values.quick,
    rounds,
    groups: words(values.group),
    only: words(values.only),
    filter: words(values.filter),
    peers: (values.peer ?? []).map(parsePeer),
    pin,
    json: values.json ?? null,
    svg: values.svg ?? null,
    imageDir: values['image-dir'] ?? null,
    list: values.list,
    help: values.help,
  };
}

function parse(argv: readonly string[]) {
  return parseArgs({ args: [...argv], options: SPEC, strict: true }).values;
}
