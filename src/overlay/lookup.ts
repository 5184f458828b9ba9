/** From a name in the merged view to an inode, like the kernel's ovl_lookup(). */
import * as sys from '../sys/index.js';
import { FsError, fail, must } from '../vfs/errors.js';
import { ABSENT_HIT, ABSENT_MISS, NODE_HIT, NODE_MISS } from './cache-counts.js';
import { claimRedirect, verifyClaim } from './claims.js';
import { collectBelow, fixOrigin, setDirIno } from './dir-parts.js';
import { DirState, Inode, isMerge, RealDir } from './inode.js';
import { attachLower, knownLink } from './link-index.js';
import { isVisible, type Listing, type NameInfo, sourceOf } from './listing.js';
import { isAbsent, statIfThere, statInode } from './locate.js';
import { isImpure, readMarks } from './marks.js';
import { listingOf } from './merge.js';
import { findMetacopyData, looksHollow, mayBeMetacopy } from './metacopy.js';
import type { MountPoints } from './mount-points.js';
import { addName, dropInode, makeFirst, removeName } from './names.js';
import { originIno } from './origin-ino.js';
import type { Overlay } from './state.js';
import { refuseTrap } from './traps.js';
import { isReservedName, isWhiteoutStat } from './whiteout.js';

/** Makes the root of the merged view from the roots of all layers but data-only ones. Its nodeid is 1. */
export function makeRoot(ov: Overlay): Inode {
  const layers = ov.opened.layers.filter((layer) => layer.kind !== 'data');
  const real = layers.map((layer) => new RealDir(layer, null, ''));
  for (const root of real) {
    const { xwhiteouts, impure } = readMarks(ov, root.layer.root, '');
    root.xwhiteouts = xwhiteouts;
    root.impure = impure;
  }
  const root = newInode(ov, sys.S_IFDIR, null, '', new DirState(real));
  root.hasUpper = real[0]!.isUpper;
  root.nlookup = 1;
  ov.root = root;
  const top = real[0]!.layer;
  must(sys.fstatx(top.root, ov.stat), 'statx');
  ov.inoMap.map(top, ov.stat.inoLo, ov.stat.inoHi, root);
  return root;
}

/**
 * The inode at `name`, or null when callers see nothing there. On success `ov.stat` holds the attributes of its topmost real
 * object. Does not touch lookup counts. Throws FsError.
 */
export function find(ov: Overlay, parent: Inode, name: string): Inode | null {
  const known = findKnown(ov, parent, name);
  if (known !== null) return known;
  if (name.length > sys.NAME_MAX) fail(sys.ENAMETOOLONG, 'lookup');
  const { dir } = parent;
  if (dir!.dead || isReservedName(ov, name)) return null;
  if (dir!.listing === null && !isMerge(dir!)) return findSingle(ov, parent, name);
  let listing: Listing;
  try {
    listing = listingOf(ov, parent);
  } catch (error) {
    const inode = error instanceof FsError ? findOnUpper(ov, parent, name) : null;
    if (inode === null) throw error;
    return inode;
  }
  return findMerged(ov, parent, name, listing, listing.info(name));
}

/** A file on upper, for which no layer below need be asked: one that is dead (ENOTCONN) is not in its way. */
function findOnUpper(ov: Overlay, parent: Inode, name: string): Inode | null {
  const { upper } = parent.dir!;
  if (upper === null || sys.statx(ov.dirs.fd(upper), name, ov.stat) < 0) return null;
  if ((ov.stat.mode & sys.S_IFMT) === sys.S_IFDIR || isWhiteoutStat(ov, upper, name, ov.stat)) return null;
  return makeInode(ov, parent, name, upper, []);
}

/** The same for the name at `position` of the directory's listing. */
export function findListed(ov: Overlay, parent: Inode, listing: Listing, position: number): Inode | null {
  const name = listing.names[position]!;
  return findKnown(ov, parent, name) ?? findMerged(ov, parent, name, listing, listing.infoAt(position));
}

/** The inode that is already in memory, if the name still leads to it. */
function findKnown(ov: Overlay, parent: Inode, name: string): Inode | null {
  const known = parent.dir!.children.get(name);
  if (known === undefined) return null;
  if (known.index !== null) makeFirst(known, parent, name);
  const rc = statIfThere(ov, known);
  if (rc >= 0 && (ov.stat.mode & sys.S_IFMT) === known.type) {
    ov.counts[NODE_HIT]!++;
    return known;
  }
  if (rc < 0 && !isAbsent(rc)) must(rc, 'statx');
  // Somebody changed a layer under us: the object that is there now gets a new inode.
  removeName(known, parent, name);
  ov.listings.drop(parent);
  return null;
}

/** The same for a name that must exist. ENOENT. */
export function findExisting(ov: Overlay, parent: Inode, name: string): Inode {
  return find(ov, parent, name) ?? fail(sys.ENOENT, 'lookup');
}

/** Looks a name up in a directory with a single source. */
function findSingle(ov: Overlay, parent: Inode, name: string): Inode | null {
  const real = parent.dir!.real[0]!;
  const rc = sys.statx(ov.dirs.fd(real), name, ov.stat);
  if (isAbsent(rc)) {
    ov.counts[ABSENT_MISS]!++;
    return null;
  }
  must(rc, 'statx');
  if (isWhiteoutStat(ov, real, name, ov.stat)) return null;
  return makeInode(ov, parent, name, real, []);
}

/** Looks a name up in a directory with a listing, whose `info` tells on which layer the name is. */
function findMerged(
  ov: Overlay,
  parent: Inode,
  name: string,
  listing: Listing,
  info: NameInfo,
): Inode | null {
  if (!isVisible(info)) {
    ov.counts[ABSENT_HIT]!++;
    return null;
  }
  const real = listing.sources[sourceOf(info)]!;
  const rc = sys.statx(ov.dirs.fd(real), name, ov.stat);
  if (isAbsent(rc)) return null;
  must(rc, 'statx');
  if (isWhiteoutStat(ov, real, name, ov.stat)) return null;
  const below: RealDir[] = [];
  for (const source of listing.below(name)) below.push(listing.sources[source]!);
  return makeInode(ov, parent, name, real, below);
}

/** Makes the inode of an object in `where` whose attributes are in `ov.stat`; `below` may hold directories to merge. */
function makeInode(ov: Overlay, parent: Inode, name: string, where: RealDir, below: RealDir[]): Inode | null {
  ov.counts[NODE_MISS]!++;
  const type = ov.stat.mode & sys.S_IFMT;
  if (ov.mountPoints?.isCrossed(where.layer, ov.stat))
    return makeMountPoint(ov, ov.mountPoints, parent, name, where);
  if (type === sys.S_IFDIR) return makeDirectory(ov, parent, name, where, below);
  return where.isUpper ? makeUpperFile(ov, parent, name, type) : makeLowerFile(ov, parent, name, type, where);
}

/** Something is mounted here that is not part of the layer: see mount-points.ts. */
function makeMountPoint(
  ov: Overlay,
  mountPoints: MountPoints,
  parent: Inode,
  name: string,
  where: RealDir,
): Inode | null {
  const type = ov.stat.mode & sys.S_IFMT;
  if (type !== sys.S_IFDIR) {
    return where.isUpper || mountPoints.isFuse(ov.stat, ov.mounts())
      ? null
      : makeLowerFile(ov, parent, name, type, where);
  }
  const { inoLo, inoHi } = ov.stat;
  const empty = mountPoints.emptyDir(where.layer, (fd, at, flags) => ov.open(fd, at, flags));
  if (empty === null) return null;
  const inode = newInode(ov, sys.S_IFDIR, parent, name, new DirState([empty]));
  ov.inoMap.map(empty.layer, inoLo, inoHi, inode);
  statInode(ov, inode);
  return inode;
}

function makeLowerFile(ov: Overlay, parent: Inode, name: string, type: number, where: RealDir): Inode {
  const linked = ov.indexDir >= 0 && ov.stat.nlink > 1;
  const known = linked ? knownLink(ov, where.layer, ov.stat) : undefined;
  if (known !== undefined) {
    addName(known, parent, name);
    makeFirst(known, parent, name);
    statInode(ov, known);
    return known;
  }
  const inode = newInode(ov, type, parent, name, null);
  inode.lowerDir = where;
  inode.lowerName = name;
  ov.inoMap.map(where.layer, ov.stat.inoLo, ov.stat.inoHi, inode);
  if (type === sys.S_IFREG && mayBeMetacopy(ov, ov.stat, where)) {
    orDrop(ov, inode, () => findMetacopyData(ov, inode, where));
  }
  if (linked) orDrop(ov, inode, () => attachLower(ov, inode, where, name));
  return inode;
}

/** Runs `step`; if it throws, drops the new inode. */
function orDrop(ov: Overlay, inode: Inode, step: () => void): void {
  try {
    step();
  } catch (error) {
    dropInode(ov, inode);
    throw error;
  }
}

/** The inode that already has the upper object in `ov.stat`, under another name. */
function knownByLink(ov: Overlay, type: number): Inode | null {
  if (ov.upperLinks.size === 0) return null;
  const linked = ov.upperLinks.get(sys.inodeNumber(ov.stat));
  if (linked?.type !== type) return null;
  // With one link left it is the same object if its other names are gone: its descriptor keeps the number from being reused.
  return ov.stat.nlink > 1 || (linked.parent === null && linked.orphan >= 0) ? linked : null;
}

function makeUpperFile(ov: Overlay, parent: Inode, name: string, type: number): Inode {
  const key = ov.stat.nlink > 1 ? sys.inodeNumber(ov.stat) : 0;
  const linked = knownByLink(ov, type);
  if (linked !== null) {
    addName(linked, parent, name);
    if (linked.index !== null) makeFirst(linked, parent, name);
    return linked;
  }
  const inode = newInode(ov, type, parent, name, null);
  inode.hasUpper = true;
  if (key !== 0) {
    inode.linkKey = key;
    ov.upperLinks.set(key, inode);
  }
  const layer = ov.opened.layers[0]!;
  ov.inoMap.map(layer, ov.stat.inoLo, ov.stat.inoHi, inode);
  const impure = isImpure(ov, parent);
  if (impure || (type === sys.S_IFREG && looksHollow(ov.stat))) {
    orDrop(ov, inode, () => {
      if (impure) originIno(ov, parent, name, inode);
      if (type === sys.S_IFREG) findMetacopyData(ov, inode, parent.dir!.upper!);
    });
  }
  return inode;
}

function makeDirectory(ov: Overlay, parent: Inode, name: string, where: RealDir, below: RealDir[]): Inode {
  refuseTrap(ov, where.layer, ov.stat);
  const real = [new RealDir(where.layer, where, name)];
  const dir = new DirState(real);
  const marked = { origin: false };
  collectBelow(ov, parent, dir, below, marked);
  const inode = newInode(ov, sys.S_IFDIR, parent, name, dir);
  if (where.isUpper) inode.hasUpper = true;
  setDirIno(ov, inode);
  if (dir.redirect !== null) orDrop(ov, inode, () => claimRedirect(ov, parent, inode));
  else if (ov.claims.size > 0) orDrop(ov, inode, () => verifyClaim(ov, inode));
  if (where.isUpper && isMerge(dir) && !marked.origin) fixOrigin(ov, parent, dir);
  return inode;
}

/** A fresh inode under a fresh nodeid, registered with its parent. */
export function newInode(
  ov: Overlay,
  type: number,
  parent: Inode | null,
  name: string,
  dir: DirState | null,
): Inode {
  const inode = new Inode(type, parent, name, dir);
  inode.id = ov.nodes.add(inode);
  if (parent !== null) parent.dir!.children.set(name, inode);
  return inode;
}

/** The kernel gives back `count` references to an inode; the last one frees it. */
export function forget(ov: Overlay, inode: Inode, count: number): void {
  inode.nlookup = Math.max(0, inode.nlookup - count);
  dropInode(ov, inode);
}
