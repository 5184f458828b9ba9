#!/usr/bin/env node
/**
 * The `plyfs` command. The drop-in form `plyfs -o options [source] mountpoint` is parsed here and loads as little code as
 * possible, because podman starts one server per container. Named commands (mount, umount) and help load yargs.
 */
import { argumentBytes } from './argument-bytes.js';
import { passedArguments, ReadyPipe } from './daemon.js';
import { parseDropIn } from './drop-in.js';
import { printError } from './print.js';
import { runMount, type Start, sourceAndMountpoint } from './run-mount.js';
import { isToolName } from './tool-names.js';
import { UsageError } from './usage-error.js';

/** Exit codes: see --help. */
const FAILED = 1;
const NOT_UNDERSTOOD = 2;

const COMMANDS = new Set(['mount', 'umount', 'unmount']);

async function runNamed(start: Start): Promise<number> {
  const { runCommand } = await import('./commands.js');
  return await runCommand(start);
}

/**
 * Refuses an unknown word in place of a command. It can't be a mount point where no `-o` names layers, which the drop-in form needs.
 */
function refuseUnknown(args: readonly string[]): void {
  const [word] = args;
  const hasLayers = args.some((one) => one.startsWith('-o') || one.startsWith('--options'));
  if (word === undefined || hasLayers || !/^[a-z]+$/.test(word)) return;
  throw new UsageError(
    `unknown command '${word}', and for a mount point of that name layers are missing: -o lowerdir=DIR; see 'plyfs --help'.`,
  );
}

async function run(start: Start): Promise<number> {
  const [command, about] = start.args;
  if (command === 'help' && start.args.length < 3)
    return await run({ args: [...(about === undefined ? [] : [about]), '--help'], ready: null });
  if (command !== undefined && COMMANDS.has(command)) return await runNamed(start);
  if (isToolName(command)) return await (await import('./tools.js')).runTool(command, start.args);
  refuseUnknown(start.args);
  const line = parseDropIn(start.args);
  if (line.help || start.args.length === 0) return await runNamed({ args: ['--help'], ready: null });
  if (line.version) return await runNamed({ args: ['--version'], ready: null });
  const [source, mountpoint] = sourceAndMountpoint(line.positionals);
  return await runMount({ ...line, source, mountpoint }, start);
}

/** The event loop ran dry before the work was done: without this, the process would exit with success. */
function isStuck(): never {
  printError(new Error('it came to no end'));
  process.exit(FAILED);
}

async function main(): Promise<never> {
  const ready = ReadyPipe.find();
  let code = FAILED;
  process.once('beforeExit', isStuck);
  try {
    code = await run({ args: passedArguments() ?? argumentBytes(), ready });
  } catch (error) {
    printError(error);
    if (error instanceof UsageError) code = NOT_UNDERSTOOD;
  }
  ready?.report(code);
  process.exit(code);
}

// No top-level await: a bundle that V8 can load from its code cache is a script, not a module (scripts/bundle.mjs).
void main();
