/** The last step of every copy-up: giving a finished object its name in an upper directory. */
import * as sys from '../sys/index.js';
import { must } from '../vfs/errors.js';
import type { Inode } from './inode.js';
import { markImpure } from './marks.js';
import type { Overlay } from './state.js';

/**
 * Runs `commit`, which gives a finished object its name in the upper directory of `parent`, and restores the directory's times:
 * a copy-up is not a change of the directory. `commit` returns 0 or -errno. Throws FsError.
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
  // On some filesystems (tmpfs, btrfs) a directory's size depends on its names: the kernel's cached size is out of date then.
  if (sys.fstatx(upperFd, ov.probe) >= 0 && ov.probe.size !== size) ov.services.notify.attributes(parent.id);
}
