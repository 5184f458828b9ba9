/** Control sockets whose server was killed: nobody else takes them away. */
import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { createConnection } from 'node:net';
import { readMounts } from '../sys/index.js';

const NAME = /^(\d+)-(\d+)\.sock$/;
/** A younger one may be between bind(2) and listen(2), where it refuses connections as well. Milliseconds. */
const MIN_AGE = 10_000;
const TIMEOUT = 2000;

/** Whether nobody listens at a socket, and nobody ever will. */
function isDead(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const connection = createConnection(path);
    connection.setTimeout(TIMEOUT, () => connection.destroy());
    connection.on('connect', () => connection.destroy());
    connection.on('error', (error) => resolve('code' in error && error.code === 'ECONNREFUSED'));
    connection.on('close', () => resolve(false));
  });
}

async function removeIfDead(path: string): Promise<void> {
  const before = lstatSync(path, { throwIfNoEntry: false });
  if (before?.isSocket() !== true || Date.now() - before.mtimeMs < MIN_AGE) return;
  if (!(await isDead(path))) return;
  // A new mount may have got the number meanwhile.
  if (lstatSync(path, { throwIfNoEntry: false })?.ino === before.ino) rmSync(path, { force: true });
}

/**
 * Removes dead sockets from a directory of this user's. Of those whose device is mounted where this process sees it, only
 * the mount itself knows; the rest is asked. Never fails: what can't be removed stays.
 */
export async function removeStaleSockets(directory: string): Promise<void> {
  try {
    const mounted = new Set(readMounts().map(({ device }) => `${device.replace(':', '-')}.sock`));
    const names = readdirSync(directory).filter((name) => NAME.test(name) && !mounted.has(name));
    await Promise.all(names.map((name) => removeIfDead(`${directory}/${name}`)));
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
  }
}
