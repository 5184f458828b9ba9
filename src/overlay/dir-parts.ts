/** A directory found by a lookup: the real directories merged in it, and from these its inode number and origin. */
import * as sys from '../sys/index.js';
import { type DirState, type Inode, RealDir } from './inode.js';
import { locateDir, statAt } from './locate.js';
import { readMarks, tryMarkImpure } from './marks.js';
import { writeOrigin } from './origin-ino.js';
import { redirectedDirs } from './redirect.js';
import type { Overlay } from './state.js';
import { refuseTrap } from './traps.js';
import { WH_OPAQUE } from './whiteout.js';

/**
 * Adds to `dir` the real directories that are merged below its first one, layer by layer, until one is opaque. A redirect sends the
 * rest of the search elsewhere. `below`: the parent's directories to search. Sets `marked.origin` to whether the upper directory
 * records an origin. Throws FsError.
 */
export function collectBelow(
  ov: Overlay,
  parent: Inode,
  dir: DirState,
  below: RealDir[],
  marked: { origin: boolean },
): void {
  const { real } = dir;
  let next = 0;
  for (;;) {
    const last = real[real.length - 1]!;
    // Nothing is below the lowest layer, so its marks don't matter.
    if (last.layer.index >= ov.lowest) return;
    locateDir(ov, last);
    const marks = readMarks(ov, ov.atFd, ov.atName);
    last.xwhiteouts = marks.xwhiteouts;
    last.impure = marks.impure;
    if (last.isUpper) marked.origin = marks.origin;
    if (marks.opaque && marks.redirect === null) return;
    if (last.isUpper && ov.whUpper && isOpaqueByFile(ov, last)) return;
    if (marks.redirect !== null) {
      if (last.isUpper) dir.redirect = marks.redirect;
      redirectedDirs(ov, parent, real, marks.redirect);
      return;
    }
    if (next >= below.length) return;
    const source = below[next++]!;
    if (ov.mountPoints?.isMountPoint(source, ov.dirs.fd(source), last.name, ov.probe)) continue;
    if (source.layer.holdsTraps && sys.statx(ov.dirs.fd(source), last.name, ov.probe) >= 0)
      refuseTrap(ov, source.layer, ov.probe);
    real.push(new RealDir(source.layer, source, last.name));
  }
}

/** Whether an upper directory is opaque by a `.wh..wh..opq` file. */
function isOpaqueByFile(ov: Overlay, real: RealDir): boolean {
  return ov.options.whPrefix && sys.statx(ov.dirs.fd(real), WH_OPAQUE, ov.probe) >= 0;
}

/** Records the origin of an upper directory that is merged but was not copied up (ovl_fix_origin()). */
export function fixOrigin(ov: Overlay, parent: Inode, dir: DirState): void {
  if (ov.upperLayer === null) return;
  const lower = dir.real[1]!;
  locateDir(ov, lower);
  const from = { fd: ov.atFd, name: ov.atName };
  locateDir(ov, dir.real[0]!);
  ov.bestEffort('set origin', writeOrigin(ov, from, lower.layer, { fd: ov.atFd, name: ov.atName }));
  ov.bestEffort('mark impure', tryMarkImpure(ov, parent));
}

/** st_ino of a directory: that of its topmost lower part, so that copy-up does not change it (ovl_getattr()). */
export function setDirIno(ov: Overlay, inode: Inode): void {
  const { real } = inode.dir!;
  const top = real[0]!;
  if (!top.isUpper || real.length === 1) {
    ov.inoMap.map(top.layer, ov.stat.inoLo, ov.stat.inoHi, inode);
    return;
  }
  const lower = real[1]!;
  locateDir(ov, lower);
  const rc = statAt(ov.atFd, ov.atName, ov.probe);
  const from = rc < 0 ? ov.stat : ov.probe;
  ov.inoMap.map(rc < 0 ? top.layer : lower.layer, from.inoLo, from.inoHi, inode);
}
