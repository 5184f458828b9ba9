/** Following redirects: where the lower parts of directories renamed with `redirect_dir=on` are. */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import type { Layer } from './config.js';
import { type Inode, RealDir } from './inode.js';
import { isAbsent, locateDir } from './locate.js';
import { readMarks } from './marks.js';
import type { Overlay } from './state.js';
import { refuseTrap } from './traps.js';

/**
 * Components of a redirect: an absolute path from the overlay root, or a single name in the same directory. EINVAL for anything
 * else (ovl_check_redirect()).
 */
export function splitRedirect(redirect: string): { absolute: boolean; components: string[] } {
  const absolute = redirect.startsWith('/');
  const components = (absolute ? redirect.slice(1) : redirect).split('/');
  if (components.includes('') || (!absolute && components.length > 1)) fail(sys.EINVAL, 'redirect');
  return { absolute, components };
}

/** The same, but EPERM when redirects must not be followed. */
function parseRedirect(ov: Overlay, redirect: string): { absolute: boolean; components: string[] } {
  if (ov.options.redirectDir === 'nofollow') fail(sys.EPERM, 'redirect');
  return splitRedirect(redirect);
}

/** Where to look for a directory or file: a path from the overlay root, or names below the parent's parts. */
export interface Route {
  readonly absolute: boolean;
  readonly components: readonly string[];
}

/** The route on the layers below, after `redirect` was found on the object that the last `rest` components start from. */
export function reroute(ov: Overlay, route: Route, redirect: string, rest: number): Route {
  const further = parseRedirect(ov, redirect);
  const at = route.components.length - rest;
  const before = further.absolute ? [] : route.components.slice(0, at - 1);
  const components = [...before, ...further.components, ...route.components.slice(at)];
  return { absolute: route.absolute || further.absolute, components };
}

/** Extends `real`, whose last directory has the redirect, by the directories on the layers below. */
export function redirectedDirs(ov: Overlay, parent: Inode, real: RealDir[], redirect: string): void {
  let route: Route = parseRedirect(ov, redirect);
  for (const layer of ov.opened.layers) {
    const last = real[real.length - 1]!;
    if (layer.index <= last.layer.index || layer.kind === 'data') continue;
    const start = route.absolute ? new RealDir(layer, null, '') : partOn(parent, layer);
    if (start === null) continue;
    const lowest = layer.index >= ov.lowest;
    const { dir, stop, onward } = walk(ov, start, route, lowest);
    const found = dir === null ? 'absent' : directoryIn(ov, dir, leafOf(route));
    if (found === null || (found === 'absent' && stop)) return;
    route = onward;
    if (found === 'absent') continue;
    real.push(found);
    if (lowest) return;
    locateDir(ov, found);
    const marks = readMarks(ov, ov.atFd, ov.atName);
    found.xwhiteouts = marks.xwhiteouts;
    found.impure = marks.impure;
    if (marks.redirect !== null) route = reroute(ov, route, marks.redirect, 0);
    else if (marks.opaque) return;
    if (stop && !marks.redirect?.startsWith('/')) return;
  }
}

function partOn(parent: Inode, layer: Layer): RealDir | null {
  return parent.dir!.real.find((real) => real.layer === layer) ?? null;
}

/** Where a route leads on one layer. */
export interface Walked {
  /** The directory that the last component is in; null: there is none. */
  readonly dir: RealDir | null;
  /** Layers further down must not be searched: a whiteout, a file or an opaque directory was on the way. */
  readonly stop: boolean;
  /** The route for layers further down: a directory on the way may itself have been renamed. */
  readonly onward: Route;
}

/**
 * Follows a route on one layer up to its last component; every step must be a real directory (ovl_lookup_layer()). The marks of
 * these directories apply to the layers below even if the way ends early; on the `last` layer they are not read.
 */
export function walk(ov: Overlay, start: RealDir, route: Route, last: boolean): Walked {
  let at = start;
  let stop = false;
  let onward = route;
  let rest = route.components.length;
  for (const name of route.components.slice(0, -1)) {
    rest--;
    const found = directoryIn(ov, at, name);
    if (found === 'absent') return { dir: null, stop, onward };
    if (found === null) return { dir: null, stop: true, onward };
    at = found;
    if (last) continue;
    const marks = readMarks(ov, ov.dirs.fd(at), '');
    if (marks.opaque) stop = true;
    else if (marks.redirect !== null) {
      onward = reroute(ov, onward, marks.redirect, rest);
      // An absolute path bypasses opaque directories further up (ovl_check_redirect()).
      if (marks.redirect.startsWith('/')) stop = false;
    }
  }
  return { dir: at, stop, onward };
}

/** What is at a name: a directory, nothing, or something else (null), which ends the search. */
function directoryIn(ov: Overlay, at: RealDir, name: string): RealDir | null | 'absent' {
  checkComponent(name);
  const rc = sys.statx(ov.dirs.fd(at), name, ov.probe);
  if (isAbsent(rc)) return 'absent';
  must(rc, 'statx');
  if ((ov.probe.mode & sys.S_IFMT) !== sys.S_IFDIR) return null;
  refuseTrap(ov, at.layer, ov.probe);
  return new RealDir(at.layer, at, name);
}

/** The last component of a route. */
export function leafOf(route: Route): string {
  return route.components[route.components.length - 1]!;
}

/** Checks a name from a redirect, which must never lead up: EACCES for `.` and `..`, like lookup_one(). */
export function checkComponent(name: string): void {
  if (name === '.' || name === '..') fail(sys.EACCES, 'redirect');
}
