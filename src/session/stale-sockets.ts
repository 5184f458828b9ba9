/** Control sockets whose server was killed: nobody else removes them. */
import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { ECONNREFUSED, isSystemError, probeSocket } from '../sys/index.js';

const NAME = /^(\d+)-(\d+)\.sock$/;
/** Milliseconds; a younger socket may be between bind(2) and listen(2), where it refuses connections as well. */
const MIN_AGE = 10_000;

function removeIfDead(path: string): void {
  const before = lstatSync(path, { throwIfNoEntry: false });
  if (before?.isSocket() !== true || Date.now() - before.mtimeMs < MIN_AGE) return;
  if (probeSocket(Buffer.from(path).latin1Slice()) !== -ECONNREFUSED) return;
  // A new mount may have been given the number in the meantime.
  if (lstatSync(path, { throwIfNoEntry: false })?.ino === before.ino) rmSync(path, { force: true });
}

/**
 * Removes dead sockets from one of this user's directories. Never fails: what can't be removed stays. Every mount does this,
 * and there may be hundreds of others (podman keeps one for each step of a build): their servers are not woken by it.
 */
export function removeStaleSockets(directory: string): void {
  try {
    for (const name of readdirSync(directory)) if (NAME.test(name)) removeIfDead(`${directory}/${name}`);
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
}
