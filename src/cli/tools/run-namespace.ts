/**
 * `plyfs run` for ordinary users when a second filesystem must be covered: fusermount3 runs as root, who may not enter a user's
 * mount, and so can't mount another one in it. In its own user namespace the command mounts by itself.
 */
import { spawn } from 'node:child_process';
import { mountsToCover } from '../../run/machine.js';
import { exitCodeOf } from '../../run/sandbox.js';
import { argumentBytes } from '../argument-bytes.js';
import { ARGUMENTS } from '../daemon.js';

/** Whether {@link runInNamespace} is needed. */
export function needsNamespace(lower: readonly string[]): boolean {
  if (process.geteuid!() === 0 || lower.length > 0) return false;
  try {
    return mountsToCover(process.cwd()).length > 0;
  } catch {
    // There is no working directory: the run will say so.
    return false;
  }
}

/** Starts this command once more, with the same arguments, as root of a user namespace. Resolves to its exit code. */
export async function runInNamespace(): Promise<number> {
  const words = ['--user', '--map-root-user', '--mount', '--propagation=private', '--', process.execPath];
  const env = { ...process.env, [ARGUMENTS]: JSON.stringify(argumentBytes()) };
  const child = spawn('unshare', [...words, process.argv[1]!], { env, stdio: 'inherit' });
  const end = (): void => void child.kill('SIGTERM');
  // A terminal's signals reach the other process by themselves.
  for (const signal of ['SIGINT', 'SIGQUIT'] as const) process.on(signal, () => {});
  process.on('SIGTERM', end);
  return await exitCodeOf(child);
}
