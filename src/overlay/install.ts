/** The last step of every copy-up: a finished object gets its name in an upper directory. */
import * as sys from '../sys/index.js';
import { must } from '../vfs/errors.js';
import type { Inode } from './inode.js';
import { markImpure } from './marks.js';
import type { Overlay } from './state.js';

/**
 * Runs `commit`, which gives a finished object its name in the upper directory of `parent`, and sets the directory's
 * times back: a copy-up is no change of it.
 */
export function install(ov: Overlay, parent: Inode, commit: (upperFd: number) => number): void {
  markImpure(ov, parent);
  const upperFd = ov.dirs.fd(parent.dir!.upper!);
  must(sys.fstatx(upperFd, ov.probe), 'statx');
  const { atime, atimeNsec, mtime, mtimeNsec, size } = ov.probe;
  // commit point
  must(commit(upperFd), 'install copy-up');
  const at = { sec: atime, nsec: atimeNsec };
  ov.bestEffort('restore parent times', sys.utimensat(upperFd, '.', at, { sec: mtime, nsec: mtimeNsec }));
  // On some filesystems (tmpfs, btrfs) a directory's size counts its names: what the kernel has cached is not true any more.
  if (sys.fstatx(upperFd, ov.probe) >= 0 && ov.probe.size !== size) ov.services.notify.attributes(parent.id);
}
