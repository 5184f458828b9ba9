/** Shell scripts that mount as a user would, invisible to others. */
import { fileURLToPath } from 'node:url';
import { plyfs } from './drivers.js';
import { type RunResult, run } from './exec.js';

/** The command as it is installed. */
export const COMMAND = fileURLToPath(new URL('../../../scripts/plyfs', import.meta.url));

/** Why such scripts can't run here; null when they can. */
export async function unavailable(): Promise<string | null> {
  return (await plyfs.unavailable()) ?? (process.geteuid!() === 0 ? null : 'not root');
}

/** A script in a mount namespace of its own; killed at a timeout, since a deadlock would last for ever. */
export function inNamespace(cwd: string, script: string): Promise<RunResult> {
  const all = ['unshare', '-m', '--propagation', 'private', 'sh', '-ec', script];
  return run('timeout', ['-s', 'KILL', '120', ...all], { cwd, timeout: 150_000 });
}
