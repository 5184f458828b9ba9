/** Which directories may be layers of one overlay: the checks of the kernel's ovl_get_workdir() and ovl_check_layer(). */

import { readMounts } from '../sys/index.js';
import type { SourceDir } from './source-dir.js';
import { UserError } from './user-error.js';

/** The directories of one overlay, before they are opened for the mount. */
export interface Sources {
  readonly upper: SourceDir | null;
  readonly work: SourceDir | null;
  /** Lowers, top first, then data-only layers. */
  readonly lowers: readonly SourceDir[];
}

const name = (dir: SourceDir): string => `${dir.option} '${dir.path}'`;

/** Whether canonical path `inner` lies below `outer`. */
function isBelow(inner: string, outer: string): boolean {
  return inner.startsWith(outer === '/' ? '/' : `${outer}/`) && inner !== outer;
}

/** Upper and work must be separate trees between which rename(2) works. Throws a UserError. */
export function checkUpperAndWork(upper: SourceDir, work: SourceDir): void {
  if (upper.fs !== work.fs) {
    throw new UserError(
      `${name(work)} is on another filesystem than ${name(upper)}; choose a workdir beside upperdir, on the same filesystem.`,
    );
  }
  if (isSameDir(upper, work)) {
    throw new UserError(
      `${name(work)} and upperdir are the same directory; give workdir a directory of its own.`,
    );
  }
  if (upper.mntId !== work.mntId) {
    throw new UserError(
      `${name(work)} and ${name(upper)} are reached through different mounts of one filesystem; name both below the same mount point.`,
    );
  }
  if (isBelow(work.canonical, upper.canonical) || isBelow(upper.canonical, work.canonical)) {
    throw new UserError(
      `${name(work)} and ${name(upper)} are nested; choose a workdir outside of upperdir, beside it.`,
    );
  }
}

function isSameDir(a: SourceDir, b: SourceDir): boolean {
  return a.fs === b.fs && a.inoLo === b.inoLo && a.inoHi === b.inoHi;
}

/**
 * No lower may be, or lie inside, any other directory of the overlay. The reverse is allowed and common: upper and work inside
 * a lower (`lowerdir=/`). `topIsUpper`: the first lower is an upper that is only read, which may lie inside a lower, too.
 * Throws a UserError.
 */
export function checkOverlap(sources: Sources, topIsUpper: boolean): void {
  const all = [sources.upper, sources.work, ...sources.lowers].filter((dir) => dir !== null);
  const seen = new Map<string, SourceDir>();
  for (const dir of all) {
    const key = `${dir.fs.devMajor}:${dir.fs.devMinor}:${dir.inoHi}:${dir.inoLo}`;
    const other = seen.get(key);
    if (other) {
      const what =
        other.option === dir.option ? 'is given twice' : `is also the ${other.option} '${other.path}'`;
      throw new UserError(`${name(dir)} ${what}; each layer must be a directory of its own.`);
    }
    seen.set(key, dir);
  }
  const places = placesOf(all);
  const byPlace = new Map<string, SourceDir>();
  for (const dir of all) byPlace.set(places.get(dir)!, dir);
  for (const dir of topIsUpper ? sources.lowers.slice(1) : sources.lowers) {
    const outer = enclosing(places.get(dir)!, byPlace);
    if (outer) {
      throw new UserError(
        `${name(dir)} lies inside ${name(outer)}; layers of one overlay must not be nested.`,
      );
    }
  }
}

/** The lowers that upper or work lie inside of. */
export function aroundTraps(sources: Sources): ReadonlySet<SourceDir> {
  const traps = [sources.upper, sources.work].filter((dir) => dir !== null);
  const places = placesOf([...traps, ...sources.lowers]);
  const inner = traps.map((trap) => places.get(trap)!);
  // The place of a root ends with the slash that others have in between.
  const start = (dir: SourceDir): string => places.get(dir)!.replace(/\/?$/, '/');
  return new Set(sources.lowers.filter((dir) => inner.some((place) => place.startsWith(start(dir)))));
}

/** The directory among `byPlace` that contains the one at `place`, if any. */
function enclosing(place: string, byPlace: ReadonlyMap<string, SourceDir>): SourceDir | null {
  const root = place.indexOf('/') + 1;
  for (let end = place.length; end > root; ) {
    // The parent of `dev:/a` is `dev:/`.
    end = Math.max(place.lastIndexOf('/', end - 1), root);
    const outer = byPlace.get(place.slice(0, end));
    if (outer) return outer;
  }
  return null;
}

/**
 * The place of each directory on its filesystem, as `device:/path`. Paths through several mounts of one filesystem (bind mounts)
 * are made comparable by the root of each mount.
 */
function placesOf(dirs: readonly SourceDir[]): Map<SourceDir, string> {
  const mountOf = new Map<SourceDir['fs'], number>();
  let several = false;
  for (const dir of dirs) {
    if ((mountOf.get(dir.fs) ?? dir.mntId) !== dir.mntId) several = true;
    mountOf.set(dir.fs, dir.mntId);
  }
  const mounts = several ? new Map(readMounts().map((mount) => [mount.id, mount])) : null;
  const places = new Map<SourceDir, string>();
  for (const dir of dirs) {
    let path = dir.canonical;
    const mount = mounts?.get(dir.mntId);
    if (mount && (path === mount.mountPoint || isBelow(path, mount.mountPoint))) {
      const rest = mount.mountPoint === '/' ? path : path.slice(mount.mountPoint.length);
      path = `${mount.root === '/' ? '' : mount.root}${rest}` || '/';
      if (path.length > 1 && path.endsWith('/')) path = path.slice(0, -1);
    }
    places.set(dir, `${dir.fs.devMajor}:${dir.fs.devMinor}:${path}`);
  }
  return places;
}
