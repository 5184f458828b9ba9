/** Control sockets whose server was killed: nobody else takes them away. */
import { lstatSync, readdirSync, rmSync } from 'node:fs';
import { ECONNREFUSED, isSystemError, probeSocket } from '../sys/index.js';

const NAME = /^(\d+)-(\d+)\.sock$/;
/** A younger one may be within bind(2), where it refuses connections as well. Milliseconds. */
const MIN_AGE = 10_000;

function removeIfDead(path: string): void {
  const before = lstatSync(path, { throwIfNoEntry: false });
  if (before?.isSocket() !== true || Date.now() - before.mtimeMs < MIN_AGE) return;
  if (probeSocket(Buffer.from(path).latin1Slice()) !== -ECONNREFUSED) return;
  // A new mount may have got the number meanwhile.
  if (lstatSync(path, { throwIfNoEntry: false })?.ino === before.ino) rmSync(path, { force: true });
}

/**
 * Removes dead sockets from a directory of this user's. Never fails: what can't be removed stays. Every mount does this, and
 * there may be hundreds of others (podman keeps one for each step of a build): none of their servers is woken by it.
 */
export function removeStaleSockets(directory: string): void {
  try {
    for (const name of readdirSync(directory)) if (NAME.test(name)) removeIfDead(`${directory}/${name}`);
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
}
