/**
 * With `index=on`, a layer that is upper or work of another mount, or lies inside one, is refused, as by the kernel's
 * ovl_check_layer() and ovl_report_in_use(). Without it that is allowed, and what both mounts do to the files is undefined.
 */
import {
  AT_FDCWD,
  close,
  fstatx,
  LOCK_SH,
  type MountInfo,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  openat,
  Stat,
  statxFollow,
} from '../sys/index.js';
import { tryLock } from './dir-lock.js';
import type { Sources } from './layer-checks.js';
import { isUsedByKernel, kernelDirs } from './mount-table.js';
import type { SourceDir } from './source-dir.js';
import { UserError } from './user-error.js';

const stat = new Stat();

const identity = (): string => `${stat.devMajor}:${stat.devMinor}:${stat.inoHi}:${stat.inoLo}`;
const parentOf = (path: string): string => path.slice(0, Math.max(1, path.lastIndexOf('/')));
const nameOf = (path: string): string => path.slice(path.lastIndexOf('/'));

function inUse(dir: SourceDir, at: string, by: string): UserError {
  const where = at === dir.canonical ? 'is' : `lies inside '${at}', which is`;
  return new UserError(
    `${dir.option} '${dir.path}' ${where} in use as upper or work of ${by}, which index=on does not allow; unmount that first.`,
  );
}

/** What stands at or above a layer on its filesystem. */
interface Above {
  readonly path: string;
  readonly dir: SourceDir;
}

/** Looks at the directory and all above it; a lock on one is that of a plyfs mount. */
function climb(dir: SourceDir, from: string, above: Map<string, Above>): void {
  for (let path = from; ; path = parentOf(path)) {
    const fd = openat(AT_FDCWD, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) return;
    try {
      if (fstatx(fd, stat) < 0 || stat.devMajor !== dir.fs.devMajor || stat.devMinor !== dir.fs.devMinor)
        return;
      const key = identity();
      if (above.has(key)) return;
      above.set(key, { path, dir });
      if (!tryLock(fd, LOCK_SH)) throw inUse(dir, path, 'another plyfs mount');
    } finally {
      close(fd);
    }
    if (path === '/') return;
  }
}

/** Throws a {@link UserError} for a layer in use. Before upper and work are locked. */
export function checkLayersInUse({ upper, work, lowers }: Sources): void {
  const above = new Map<string, Above>();
  for (const dir of lowers) climb(dir, dir.canonical, above);
  for (const dir of [upper, work]) if (dir !== null) climb(dir, parentOf(dir.canonical), above);
  let unclear: MountInfo | null = null;
  const names = new Set([...above.values()].map(({ path }) => nameOf(path)));
  for (const { path, mount } of kernelDirs()) {
    if (!path.startsWith('/')) {
      unclear = mount;
      continue;
    }
    // Only paths that could be one of these are accessed: a stale mount elsewhere must not block us.
    if (!names.has(nameOf(path)) || statxFollow(AT_FDCWD, path, stat) < 0) continue;
    const found = above.get(identity());
    if (found) throw inUse(found.dir, found.path, `the overlay mounted on '${mount.mountPoint}'`);
  }
  if (unclear === null) return;
  const at = [...above.values()].find(({ path }) => isUsedByKernel(path));
  if (at)
    throw inUse(at.dir, at.path, `an overlay with relative paths, perhaps that on '${unclear.mountPoint}'`);
}
