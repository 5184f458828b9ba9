/**
 * A sensor for lost writes to upper's filesystem, for volatile mounts: a private kernel overlay that is `volatile` and mounted
 * nowhere. syncfs(2) on it flushes nothing (ovl_sync_fs()), and fails once the underlying filesystem has lost a write since the
 * overlay was made (ovl_sync_status()). No other call reports that without flushing first.
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
 * A descriptor of the sensor, or -1 where this process or kernel can't make one. `work`: the work directory, in which the
 * sensor's directories exist only during this call.
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
    // An open root keeps the filesystem alive, so the mount itself can be closed.
    if (mount >= 0) root = openat(mount, '.', O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    for (const fd of [mount, fs]) if (fd >= 0) close(fd);
  }
  removeTree(work, NAME);
  return root < 0 ? -1 : held.add(root);
}
