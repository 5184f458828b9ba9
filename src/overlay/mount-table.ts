/** Which upper and work kernel overlays use, according to the mounts that this process sees. */

import {
  AT_FDCWD,
  close,
  EBUSY,
  fsconfigCreate,
  fsconfigString,
  fsopen,
  type MountInfo,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
  openTree,
  readMounts,
  Stat,
  statxFollow,
  unescapeOctal,
} from '../sys/index.js';
import type { SourceDir } from './source-dir.js';
import { UserError } from './user-error.js';

const stat = new Stat();

/** An upperdir or workdir of a kernel mount that this process sees. */
export interface KernelDir {
  /** As given to mount(2); may be relative to a directory that is not known. */
  readonly path: string;
  readonly mount: MountInfo;
}

/** Goes through what kernel overlays write to. */
export function* kernelDirs(): Generator<KernelDir> {
  for (const mount of readMounts('overlay')) {
    for (const option of mount.superOptions.split(',')) {
      const shown = /^(?:upper|work)dir=(.*)$/s.exec(option)?.[1];
      if (shown !== undefined) yield { path: unescapeOctal(shown).replace(/\\(.)/g, '$1'), mount };
    }
  }
}

/** Whether the path of a {@link KernelDir} leads to the directory `dir`. */
function names(path: string, dir: SourceDir): boolean {
  if (path === dir.canonical || path === dir.path) return true;
  // Only paths that could be the same directory are accessed: a stale mount elsewhere must not block us.
  if (path.slice(path.lastIndexOf('/')) !== dir.canonical.slice(dir.canonical.lastIndexOf('/'))) return false;
  return (
    path.startsWith('/') &&
    statxFollow(AT_FDCWD, path, stat) === 0 &&
    stat.inoLo === dir.inoLo &&
    stat.inoHi === dir.inoHi &&
    stat.devMajor === dir.fs.devMajor &&
    stat.devMinor === dir.fs.devMinor
  );
}

/**
 * Whether a kernel overlay writes to the directory, wherever it is mounted and whatever path named it: then another overlay with
 * index=on is refused with EBUSY. The one tried here is never completed and writes nothing: its workdir is on another mount than
 * its upperdir, which the kernel rejects right after the check for use (with a line in its log).
 */
export function isUsedByKernel(path: string): boolean {
  const upper = openTree(AT_FDCWD, path, OPEN_TREE_CLOEXEC);
  const elsewhere = openTree(AT_FDCWD, path, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
  const fd = upper < 0 || elsewhere < 0 ? -1 : fsopen('overlay');
  let rc = fd < 0 ? fd : fsconfigString(fd, 'lowerdir', '/');
  if (rc >= 0) rc = fsconfigString(fd, 'upperdir', `/proc/self/fd/${upper}`);
  if (rc >= 0) rc = fsconfigString(fd, 'workdir', `/proc/self/fd/${elsewhere}`);
  if (rc >= 0) rc = fsconfigString(fd, 'index', 'on');
  if (rc >= 0) rc = fsconfigCreate(fd);
  for (const opened of [fd, elsewhere, upper]) if (opened >= 0) close(opened);
  return rc === -EBUSY;
}

/**
 * Throws a UserError for an upper or work that a kernel overlay is using. The kernel's own mark on the directory can't be read
 * from outside, so this looks at the mounts that this process sees; other mounts of plyfs are found by their lock. An overlay
 * mounted with relative paths does not reveal its directories: then the kernel is asked.
 */
export function checkKernelMounts(upper: SourceDir, work: SourceDir): void {
  let unclear: MountInfo | null = null;
  for (const { path, mount } of kernelDirs()) {
    if (!path.startsWith('/')) unclear = mount;
    const dir = [upper, work].find((candidate) => names(path, candidate));
    if (dir) throw inUse(dir, `the overlay mounted on '${mount.mountPoint}'`);
  }
  if (unclear !== null && isUsedByKernel(upper.canonical)) {
    throw inUse(upper, `an overlay with relative paths, perhaps that mounted on '${unclear.mountPoint}'`);
  }
}

function inUse(dir: SourceDir, by: string): UserError {
  return new UserError(
    `${dir.option} '${dir.path}' is in use by ${by}; unmount that first, or choose another directory.`,
  );
}
