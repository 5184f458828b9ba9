/** Directories that were renamed with `redirect_dir=on`: where their lower parts are. */
import * as sys from '../sys/index.js';
import { fail } from '../vfs/errors.js';
import type { Layer } from './config.js';
import { type Inode, RealDir } from './inode.js';
import { locateDir } from './locate.js';
import { noteXwhiteouts, readMarks } from './marks.js';
import type { Overlay } from './state.js';

/**
 * Components of a redirect: an absolute path from the overlay root, or one name in the same directory. EINVAL for
 * anything else, EPERM when redirects are not to be followed (ovl_check_redirect()).
 */
export function parseRedirect(ov: Overlay, redirect: string): { absolute: boolean; components: string[] } {
  if (ov.options.redirectDir === 'nofollow') fail(sys.EPERM, 'redirect');
  const absolute = redirect.startsWith('/');
  const components = (absolute ? redirect.slice(1) : redirect).split('/');
  const bad = components.some((name) => name === '' || name === '.' || name === '..');
  if (bad || (!absolute && components.length > 1)) fail(sys.EINVAL, 'redirect');
  return { absolute, components };
}

/** Continues `real`, whose last directory has the redirect, with the directories on the layers below it. */
export function redirectedDirs(ov: Overlay, parent: Inode, real: RealDir[], redirect: string): void {
  let { absolute, components } = parseRedirect(ov, redirect);
  for (const layer of ov.opened.layers) {
    const last = real[real.length - 1]!;
    if (layer.index <= last.layer.index || layer.kind === 'data') continue;
    const start = absolute ? new RealDir(layer, null, '') : partOn(parent, layer);
    if (start === null) continue;
    const found = walk(ov, start, components);
    if (found === null) continue;
    real.push(found);
    if (layer.index >= ov.lowest) return;
    locateDir(ov, found);
    const marks = readMarks(ov, ov.atFd, ov.atName);
    noteXwhiteouts(ov, found, marks);
    if (marks.redirect !== null) {
      const further = parseRedirect(ov, marks.redirect);
      const siblings = [...components.slice(0, -1), ...further.components];
      components = further.absolute ? further.components : siblings;
      absolute = absolute || further.absolute;
    } else if (marks.opaque) {
      return;
    }
  }
}

function partOn(parent: Inode, layer: Layer): RealDir | null {
  return parent.dir!.real.find((real) => real.layer === layer) ?? null;
}

/** The directory at `components` on one layer, each step being a real directory; null when there is none. */
export function walk(ov: Overlay, start: RealDir, components: readonly string[]): RealDir | null {
  let at = start;
  for (const name of components) {
    if (sys.statx(ov.dirs.fd(at), name, ov.probe) < 0) return null;
    if ((ov.probe.mode & sys.S_IFMT) !== sys.S_IFDIR) return null;
    at = new RealDir(at.layer, at, name);
  }
  return at;
}
