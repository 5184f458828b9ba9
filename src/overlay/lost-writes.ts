/**
 * A sensor for lost writes to upper's filesystem, for volatile mounts: a kernel overlay of our own, which is `volatile`
 * and mounted nowhere. syncfs(2) on it flushes nothing (ovl_sync_fs()), and fails once the filesystem that it lies on has
 * lost a write since it was made (ovl_sync_status()): what no other call tells without flushing first.
 */
import {
  close,
  fsconfigCreate,
  fsconfigFlag,
  fsconfigString,
  fsmount,
  fsopen,
  mkdirat,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  openat,
} from '../sys/index.js';
import type { Descriptors } from './descriptors.js';
import { removeTree } from './remove-tree.js';

const NAME = '#lost';

/**
 * A descriptor of the sensor, or -1 where this process or kernel makes none. `work`: the work directory; what the sensor
 * is made of is there for a moment, and gone when this returns.
 */
export function openSensor(work: number, held: Descriptors): number {
  let root = -1;
  const made = [NAME, `${NAME}/l`, `${NAME}/u`, `${NAME}/w`].every((name) => mkdirat(work, name, 0o700) >= 0);
  const fs = made ? fsopen('overlay') : -1;
  if (fs >= 0) {
    const at = (name: string): string => `/proc/self/fd/${work}/${NAME}/${name}`;
    let rc = fsconfigString(fs, 'lowerdir', at('l'));
    if (rc >= 0) rc = fsconfigString(fs, 'upperdir', at('u'));
    if (rc >= 0) rc = fsconfigString(fs, 'workdir', at('w'));
    if (rc >= 0) rc = fsconfigFlag(fs, 'volatile');
    if (rc >= 0) rc = fsconfigCreate(fs);
    const mount = rc >= 0 ? fsmount(fs) : -1;
    // Its root, once open, keeps it: the mount itself is let go.
    if (mount >= 0) root = openat(mount, '.', O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (const fd of [mount, fs]) if (fd >= 0) close(fd);
  }
  removeTree(work, NAME);
  return root < 0 ? -1 : held.add(root);
}
