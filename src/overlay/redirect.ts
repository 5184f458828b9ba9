/** Directories that were renamed with `redirect_dir=on`: where their lower parts are. */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import type { Layer } from './config.js';
import { type Inode, RealDir } from './inode.js';
import { locateDir } from './locate.js';
import { isAbsent } from './lookup.js';
import { readMarks } from './marks.js';
import type { Overlay } from './state.js';

/**
 * Components of a redirect: an absolute path from the overlay root, or one name in the same directory. EINVAL for
 * anything else, EPERM when redirects are not to be followed (ovl_check_redirect()).
 */
export function parseRedirect(ov: Overlay, redirect: string): { absolute: boolean; components: string[] } {
  if (ov.options.redirectDir === 'nofollow') fail(sys.EPERM, 'redirect');
  const absolute = redirect.startsWith('/');
  const components = (absolute ? redirect.slice(1) : redirect).split('/');
  if (components.includes('') || (!absolute && components.length > 1)) fail(sys.EINVAL, 'redirect');
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
    const { dir: found, stop } = walk(ov, start, components);
    if (found !== null) real.push(found);
    if (stop || layer.index >= ov.lowest) return;
    if (found === null) continue;
    locateDir(ov, found);
    const marks = readMarks(ov, ov.atFd, ov.atName);
    found.xwhiteouts = marks.xwhiteouts;
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

/** Where a path leads on one layer. */
export interface Walked {
  /** The directory; null: there is none. */
  readonly dir: RealDir | null;
  /** Layers further down are not to be searched: a whiteout, a file or an opaque directory was on the way. */
  readonly stop: boolean;
}

/**
 * Follows `components` on one layer, each step being a real directory (ovl_lookup_layer()). A path never leads up:
 * EACCES for `.` and `..`, as lookup_one() has it.
 */
export function walk(ov: Overlay, start: RealDir, components: readonly string[]): Walked {
  let at = start;
  let stop = false;
  for (const name of components) {
    checkComponent(name);
    const rc = sys.statx(ov.dirs.fd(at), name, ov.probe);
    if (isAbsent(rc)) return { dir: null, stop };
    must(rc, 'statx');
    if ((ov.probe.mode & sys.S_IFMT) !== sys.S_IFDIR) return { dir: null, stop: true };
    if (at !== start) stop = stop || readMarks(ov, ov.dirs.fd(at), '').opaque;
    at = new RealDir(at.layer, at, name);
  }
  return { dir: at, stop };
}

/** A name that a redirect gives. */
export function checkComponent(name: string): void {
  if (name === '.' || name === '..') fail(sys.EACCES, 'redirect');
}
