/** READDIR and READDIRPLUS, from the merged listing. */
import * as sys from '../sys/index.js';
import { FsError } from '../vfs/errors.js';
import type { Caller, DirSink, Entry } from '../vfs/types.js';
import type { InoPair } from './ino.js';
import { dirOf, type Inode } from './inode.js';
import { type Listing, sourceOf, typeOf } from './listing.js';
import { fillEntry } from './locate.js';
import { findListed } from './lookup.js';
import { isImpure } from './marks.js';
import { listingOf } from './merge.js';
import { dropInode } from './names.js';
import { cookieOf, offsetOf, readerOf } from './readers.js';
import type { Overlay } from './state.js';

/** Offsets 1 and 2 follow `.` and `..`; the name with cookie c is followed by the offset of c + 1 for its reader. */
const DOTS = 2;
/** FUSE_UNKNOWN_INO. */
const UNKNOWN_INO = -1;

/** Of a bare entry. */
const ino: InoPair = { inoLo: 0, inoHi: 0 };

/**
 * Lists from `offset` until the sink is full or the directory ends. `entry` is scratch. Entries other than directories come without
 * attributes if `caller` does not seem to need them (walkers.ts). Throws FsError.
 */
export function readdir(
  ov: Overlay,
  inode: Inode,
  offset: number,
  caller: Caller,
  sink: DirSink,
  entry: Entry,
): void {
  if (dirOf(inode).dead) return;
  const listing = listingOf(ov, inode);
  const up = inode.parent ?? inode;
  if (offset < 1 && !sink.add('.', inode.inoLo, inode.inoHi, sys.DT_DIR, 1)) return;
  if (offset < DOTS && !sink.add('..', up.inoLo, up.inoHi, sys.DT_DIR, DOTS)) return;
  const bare = mayBeBare(ov) && !(sink.plus && ov.walkers.wantsAttributes(caller.pid));
  let given = 0;
  const reader = readerOf(offset) || listing.beginReading();
  const end = listing.endFor(reader);
  for (let at = offset <= DOTS ? 0 : listing.positionOf(cookieOf(offset)); at < end; at++) {
    const name = listing.names[at];
    if (name === null || name === undefined || !listing.isVisibleAt(at)) continue;
    if (!sink.fits(name)) break;
    const next = offsetOf(reader, listing.cookieAt(at) + 1);
    if (bare && isBare(ov, inode, listing, at)) {
      sink.add(name, ino.inoLo, ino.inoHi, typeOf(listing.infoAt(at)), next);
      given++;
      continue;
    }
    const child = findForList(ov, inode, listing, at);
    if (child === null) continue;
    // It is listed, as in the kernel; a lookup will report the error.
    if (child === 'broken') sink.add(name, UNKNOWN_INO, 0, sys.DT_UNKNOWN, next);
    else give(ov, child, name, next, sink, entry);
  }
  if (given === 0 || !sink.plus) return;
  listing.wasGivenBare = true;
  ov.walkers.gaveBare(caller.pid, given);
}

/** Whether the entries of layers have the types and inode numbers that callers see. */
function mayBeBare(ov: Overlay): boolean {
  return ov.mountPoints === null && (ov.owners === null || !ov.owners.keepsTypes);
}

/**
 * Whether a bare entry can be returned without looking at the object; then its inode number is in `ino`. A copied-up object has the
 * number of its origin, which only the object knows; a directory is likely to be entered next.
 */
function isBare(ov: Overlay, parent: Inode, listing: Listing, at: number): boolean {
  const info = listing.infoAt(at);
  const type = typeOf(info);
  if (type === sys.DT_DIR || type === sys.DT_UNKNOWN || !listing.realInoAt(at, ino)) return false;
  const real = listing.sources[sourceOf(info)]!;
  if (real.isUpper && isImpure(ov, parent)) return false;
  const { children } = dirOf(parent);
  // The kernel already has its attributes, and its number may not be reproducible (no origin was recorded).
  if (children.size > 0 && children.has(listing.names[at]!)) return false;
  ov.inoMap.map(real.layer, ino.inoLo, ino.inoHi, ino);
  return true;
}

/** Looks up a listed name. 'broken': the lookup failed, which must not hide the other entries. */
function findForList(
  ov: Overlay,
  parent: Inode,
  listing: Listing,
  position: number,
): Inode | null | 'broken' {
  try {
    return findListed(ov, parent, listing, position);
  } catch (error) {
    if (!(error instanceof FsError)) throw error;
    ov.bestEffort('look up a listed name', -error.errno);
    return 'broken';
  }
}

/** Adds an entry, for which there is room, that was looked up. */
function give(ov: Overlay, child: Inode, name: string, next: number, sink: DirSink, entry: Entry): void {
  if (!sink.plus) {
    sink.add(name, child.inoLo, child.inoHi, child.type >> 12, next);
    dropInode(ov, child);
    return;
  }
  fillEntry(ov, child, entry);
  // An owner xattr may say that a file stands for a device (override-stat.ts).
  sink.addPlus(name, entry, (entry.attr.mode & sys.S_IFMT) >> 12, next);
}
