/**
 * "In use" marks on upper and workdir: flock(2) on a descriptor of the directory, held for the life of the mount.
 *
 * The kernel releases the lock with the process, however that ends, so a crash leaves nothing to clean up; nothing is written
 * into the user's directories; and the lock is on the directory itself, whatever path another mount names it by. The descriptor
 * is opened through the layer's clone, so it does not keep the user's own mount busy. Kernel overlayfs does not see these locks:
 * see checkKernelMounts() for the other half.
 */

import {
  close,
  EAGAIN,
  errnoName,
  flock,
  LOCK_EX,
  LOCK_NB,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  openat,
} from '../sys/index.js';
import type { Descriptors } from './descriptors.js';
import type { SourceDir } from './source-dir.js';
import { UserError } from './user-error.js';

/**
 * Milliseconds to wait for the lock of a mount that is just ending: its process outlives umount(8) by a moment, on a busy
 * machine by seconds.
 */
const PATIENCE_MS = 3000;
const STEP_MS = 10;

const sleeper = new Int32Array(new SharedArrayBuffer(4));

/** flock(2) with `how`, waiting for a mount that is just ending. Returns false when somebody else holds the lock. */
export function tryLock(fd: number, how: number): boolean {
  for (let waited = 0; ; waited += STEP_MS) {
    // A filesystem that can't lock directories has no marks, which does no harm to a single mount.
    if (flock(fd, how | LOCK_NB) !== -EAGAIN) return true;
    if (waited >= PATIENCE_MS) return false;
    Atomics.wait(sleeper, 0, 0, STEP_MS);
  }
}

/** Locks the directory open at `root`. Returns a descriptor open for reading; closing it unlocks. */
export function lockDirectory(root: number, dir: SourceDir, held: Descriptors): number {
  const fd = openat(root, '.', O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw new UserError(`${dir.option} '${dir.path}' can't be read (${errnoName(fd)}).`);
  if (tryLock(fd, LOCK_EX)) return held.add(fd);
  close(fd);
  throw new UserError(
    `${dir.option} '${dir.path}' is in use by another plyfs mount; unmount that first, or choose another directory.`,
  );
}
