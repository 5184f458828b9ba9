/** Metacopies: objects that hold the metadata of a file whose data is on a layer below. */
import * as sys from '../sys/index.js';
import { fail } from '../vfs/errors.js';
import { type Inode, RealDir, type RealFile } from './inode.js';
import { readMarks } from './marks.js';
import { parseRedirect, walk } from './redirect.js';
import type { Overlay } from './state.js';

/**
 * If the regular file `inode`, whose topmost object is in `where`, is a metacopy, finds its data. EPERM when
 * metacopies are switched off, EIO when there is no data (ovl_lookup()).
 */
export function findMetacopyData(ov: Overlay, inode: Inode, where: RealDir): void {
  let file: RealFile = { dir: where, name: inode.name };
  for (let depth = 0; ; depth++) {
    const marks = readMarks(ov, ov.dirs.fd(file.dir), file.name);
    if (!marks.metacopy) break;
    if (!ov.options.metacopy) fail(sys.EPERM, 'metacopy');
    const next = below(ov, inode, file, marks.redirect);
    if (next === null || depth > ov.opened.layers.length) fail(sys.EIO, 'metacopy data');
    file = next;
  }
  if (file.dir !== where || file.name !== inode.name) inode.data = file;
}

/** The next object below a metacopy: by its redirect, else by its name. */
function below(ov: Overlay, inode: Inode, file: RealFile, redirect: string | null): RealFile | null {
  const target = redirect === null ? null : parseRedirect(ov, redirect);
  const name = target === null ? file.name : target.components[target.components.length - 1]!;
  for (const layer of ov.opened.layers) {
    if (layer.index <= file.dir.layer.index) continue;
    let dir: RealDir | null;
    if (target?.absolute) dir = walk(ov, new RealDir(layer, null, ''), target.components.slice(0, -1));
    else dir = inode.parent!.dir!.real.find((real) => real.layer === layer) ?? null;
    if (dir === null || sys.statx(ov.dirs.fd(dir), name, ov.probe) < 0) continue;
    if ((ov.probe.mode & sys.S_IFMT) !== sys.S_IFREG) return null;
    return { dir, name };
  }
  return null;
}
