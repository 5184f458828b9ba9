/** Metacopies: objects that hold the metadata of a file whose data is on a layer below. */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import { dirOf, type Inode, RealDir, type RealFile } from './inode.js';
import { isAbsent } from './locate.js';
import { readMarks, readOrigin } from './marks.js';
import { decodeOrigin } from './origin.js';
import { checkComponent, leafOf, type Route, reroute, splitRedirect, walk } from './redirect.js';
import type { Overlay } from './state.js';

/**
 * Name for data that is missing on every data-only layer. The metacopy that leads there is found nevertheless; reading it fails
 * with ENOENT, as in the kernel, which looks for the data on the first read (ovl_maybe_lookup_lowerdata()).
 */
const NOWHERE = '';

/** Blocks (of 512 bytes) that xattrs may take in a file without data. */
const XATTR_BLOCKS = 8;

/**
 * Whether a regular file looks like a metacopy: then its xattrs are read even with metacopy=off, since its holes must not be
 * taken for data.
 */
export function looksHollow(stat: sys.Stat): boolean {
  if (stat.size === 0 || stat.blocks > XATTR_BLOCKS) return false;
  return stat.blocks === 0 || stat.size > stat.blocks * 512;
}

/** Whether to read the xattrs of a regular file with attributes `stat` in the lower directory `where`. */
export function mayBeMetacopy(ov: Overlay, stat: sys.Stat, where: RealDir): boolean {
  return ov.options.metacopy || hasData(ov) || where.impure || looksHollow(stat);
}

function hasData(ov: Overlay): boolean {
  return ov.lowest < ov.opened.layers.length - 1;
}

/**
 * Whether a metacopy leads from the lowest ordinary layer to a data-only one. That is followed whatever metacopy= and
 * redirect_dir= say: data-only layers were given for this purpose and can't be reached otherwise.
 */
function leadsToData(ov: Overlay, where: RealDir, redirect: string | null): boolean {
  const isLowest = !where.isUpper && where.layer.index === ov.lowest;
  return isLowest && hasData(ov) && (redirect?.startsWith('/') ?? false);
}

/**
 * If the regular file `inode`, whose topmost object is in `where`, is a metacopy, finds its data. EPERM when metacopies are off,
 * EIO when there is no data, ESTALE when according to an index it is other data (ovl_lookup()).
 */
export function findMetacopyData(ov: Overlay, inode: Inode, where: RealDir): void {
  const top: RealFile = { dir: where, name: inode.name };
  let marks = readMarks(ov, ov.dirs.fd(where), inode.name);
  if (!marks.metacopy) return;
  if (marks.badMetacopy) fail(sys.EIO, 'metacopy');
  const toData = leadsToData(ov, where, marks.redirect);
  if (!ov.options.metacopy && !toData) fail(sys.EPERM, 'metacopy');
  let at = top;
  let first: RealFile | null = null;
  const search: Search = { route: { absolute: false, components: [inode.name] } };
  const { redirect } = marks;
  while (marks.metacopy && at.dir.layer.kind !== 'data') {
    if (toData) search.route = splitRedirect(marks.redirect!);
    else if (marks.redirect !== null) search.route = reroute(ov, search.route, marks.redirect, 0);
    const next: RealFile | null = search.route.absolute
      ? belowRoot(ov, at, search, first !== null || !where.isUpper)
      : belowParent(ov, inode, at, search.route.components[0]!);
    if (next === null) fail(sys.EIO, 'metacopy data');
    if (first === null && where.isUpper) verifyOrigin(ov, top, next);
    first ??= next;
    at = next;
    if (at.dir.layer.kind !== 'data') marks = readMarks(ov, ov.dirs.fd(at.dir), at.name);
  }
  let hardLinked = false;
  // The number that the copy-up kept, even where no origin records it.
  if (where.isUpper && sys.statx(ov.dirs.fd(first!.dir), first!.name, ov.probe) >= 0) {
    hardLinked = ov.probe.nlink > 1;
    if (!hardLinked) ov.inoMap.map(first!.dir.layer, ov.probe.inoLo, ov.probe.inoHi, inode);
  }
  inode.data = { dir: at.dir, name: at.name, redirect, hardLinked };
}

/** A search from layer to layer; directories on the way may redirect it. */
interface Search {
  route: Route;
}

/** The next regular file of this name in the parent's directories below `at`. */
function belowParent(ov: Overlay, inode: Inode, at: RealFile, name: string): RealFile | null {
  for (const dir of dirOf(inode.parent!).real) {
    if (dir.layer.index <= at.dir.layer.index) continue;
    const found = regular(ov, dir, name);
    if (found !== 'absent') return found;
  }
  return null;
}

/**
 * The next regular file at a path from the root of the layers below `at`. Data-only layers come last, and only for an object
 * that has a lower part (`toData`): a metacopy that is only on upper can't lead there.
 */
function belowRoot(ov: Overlay, at: RealFile, search: Search, toData: boolean): RealFile | null {
  const last = ov.opened.layers[ov.opened.layers.length - 1]!;
  for (const layer of ov.opened.layers) {
    if (layer.index <= at.dir.layer.index || (layer.kind === 'data' && !toData)) continue;
    const { route } = search;
    const end = layer === last || layer.kind === 'data';
    const { dir, stop, onward } = walk(ov, new RealDir(layer, null, ''), route, end);
    search.route = onward;
    const found = dir === null ? 'absent' : regular(ov, dir, leafOf(route));
    if (layer.kind === 'data') {
      if (found !== 'absent' && found !== null) return found;
    } else if (found !== 'absent') return found;
    else if (stop) return null;
  }
  return toData && last.kind === 'data' ? { dir: new RealDir(last, null, ''), name: NOWHERE } : null;
}

/** What is at a name: a regular file, nothing, or something else (null), which ends the search. */
function regular(ov: Overlay, dir: RealDir, name: string): RealFile | null | 'absent' {
  checkComponent(name);
  const rc = sys.statx(ov.dirs.fd(dir), name, ov.probe);
  if (isAbsent(rc)) return 'absent';
  must(rc, 'statx');
  return (ov.probe.mode & sys.S_IFMT) === sys.S_IFREG ? { dir, name } : null;
}

/** With an index, data that was found by a path must be the metacopy's origin. ESTALE. */
function verifyOrigin(ov: Overlay, top: RealFile, found: RealFile): void {
  if (ov.indexDir < 0) return;
  const blob = readOrigin(ov, ov.dirs.fd(top.dir), top.name);
  const origin = blob === null ? null : decodeOrigin(blob);
  if (origin === null) return;
  const handle = sys.nameToHandle(ov.dirs.fd(found.dir), found.name);
  if (typeof handle === 'number' || !handle.bytes.equals(origin.handle.bytes)) fail(sys.ESTALE, 'origin');
}
