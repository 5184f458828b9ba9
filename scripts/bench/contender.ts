/** The contenders: how each is mounted, and what it can't do. */

import { existsSync } from 'node:fs';
import { dirname, relative } from 'node:path';
import type { Options } from './options.js';
import { run, which } from './process.js';

/** Mount options besides the layers that a scenario may request. */
export type Extra = 'volatile' | 'metacopy=on';

export interface MountRequest {
  /** Top first. */
  readonly lowers: readonly string[];
  readonly upper: string;
  readonly work: string;
  readonly target: string;
  readonly extra: readonly Extra[];
}

export interface MountCommand {
  readonly argv: readonly string[];
  readonly cwd: string;
}

export interface Contender {
  readonly name: string;
  /** plain: the upper filesystem itself, no union. kernel: no server process. */
  readonly kind: 'plain' | 'kernel' | 'plyfs' | 'peer';
  /** The plyfs data mode, for targets that apply to only one of them. */
  readonly mode?: 'cached' | 'passthrough';
  readonly version: string;
  readonly extras: readonly Extra[];
  command(request: MountRequest): MountCommand;
}

export const KERNEL = 'kernel';
export const FUSE_OVERLAYFS = 'fuse-overlayfs';

/** The launcher beside package.json; this file is in dist/scripts/bench. */
const PLYFS = new URL('../../../scripts/plyfs', import.meta.url).pathname;

function layerOptions(request: MountRequest): string {
  const parts = [
    `lowerdir=${request.lowers.join(':')}`,
    `upperdir=${request.upper}`,
    `workdir=${request.work}`,
    ...request.extra,
  ];
  return parts.join(',');
}

/** mount(2) takes one page of options, so that many layers only fit as names relative to their common directory. */
function kernelCommand(request: MountRequest): MountCommand {
  const cwd = dirname(request.lowers[0]!);
  const lowers = request.lowers.map((lower) => relative(cwd, lower));
  const options = layerOptions({ ...request, lowers });
  return { argv: ['mount', '-t', 'overlay', 'overlay', '-o', options, request.target], cwd };
}

function serverCommand(program: readonly string[], request: MountRequest, more = ''): MountCommand {
  return { argv: [...program, '-o', layerOptions(request) + more, request.target], cwd: '/' };
}

function plain(): Contender {
  return {
    name: 'plain',
    kind: 'plain',
    version: 'ext4',
    extras: [],
    command: () => {
      throw new Error('the plain filesystem is not mounted');
    },
  };
}

async function kernel(): Promise<Contender> {
  const version = (await run(['uname', '-r'], { timeoutMs: 5000 })).trim();
  return {
    name: KERNEL,
    kind: 'kernel',
    version: `Linux ${version}`,
    extras: ['volatile', 'metacopy=on'],
    command: kernelCommand,
  };
}

function plyfs(mode: 'cached' | 'passthrough'): Contender {
  return {
    name: `plyfs ${mode}`,
    kind: 'plyfs',
    mode,
    version: `node ${process.version}`,
    extras: ['volatile', 'metacopy=on'],
    command: (request) => serverCommand([PLYFS], request, `,data=${mode}`),
  };
}

async function fuseOverlayfs(program: string): Promise<Contender> {
  const text = await run([program, '--version'], { timeoutMs: 5000 });
  return {
    name: FUSE_OVERLAYFS,
    kind: 'peer',
    version: /version (\S+)/.exec(text)?.[1] ?? 'unknown',
    extras: ['volatile'],
    command: (request) => serverCommand([program], request),
  };
}

function peer(name: string, command: string): Contender {
  return {
    name,
    kind: 'peer',
    version: command,
    extras: ['volatile'],
    command: (request) => serverCommand(['sh', '-c', `exec ${command} "$@"`, name], request),
  };
}

/** All requested contenders that exist here; says on standard error which are missing. */
export async function findContenders(options: Options): Promise<Contender[]> {
  const found: Contender[] = [plain(), await kernel()];
  const program = await which('fuse-overlayfs');
  if (program !== null) found.push(await fuseOverlayfs(program));
  else process.stderr.write('bench: fuse-overlayfs is not installed and left out\n');
  if (existsSync(PLYFS)) found.push(plyfs('cached'), plyfs('passthrough'));
  else process.stderr.write('bench: plyfs is not built and left out\n');
  for (const { name, command } of options.peers) found.push(peer(name, command));
  if (options.only.length === 0) return found;
  return found.filter((contender) => options.only.some((word) => contender.name.includes(word)));
}
