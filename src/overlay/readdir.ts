/** READDIR and READDIRPLUS, from the merged listing. */
import * as sys from '../sys/index.js';
import { FsError } from '../vfs/errors.js';
import type { DirSink, Entry } from '../vfs/types.js';
import { dirOf, type Inode } from './inode.js';
import type { Listing } from './listing.js';
import { fillAttr } from './locate.js';
import { findListed } from './lookup.js';
import { listingOf } from './merge.js';
import { dropInode } from './names.js';
import type { Overlay } from './state.js';

/** Offsets 1 and 2 follow `.` and `..`; the entry at listing position p is followed by p + 3. */
const DOTS = 2;
/** FUSE_UNKNOWN_INO. */
const UNKNOWN_INO = -1;

/** Lists from `offset` until the sink is full or the directory ends. `entry` is scratch. */
export function readdir(ov: Overlay, inode: Inode, offset: number, sink: DirSink, entry: Entry): void {
  if (dirOf(inode).dead) return;
  const listing = listingOf(ov, inode);
  const up = inode.parent ?? inode;
  if (offset < 1 && !sink.add('.', inode.inoLo, inode.inoHi, sys.DT_DIR, 1)) return;
  if (offset < DOTS && !sink.add('..', up.inoLo, up.inoHi, sys.DT_DIR, DOTS)) return;
  for (let at = Math.max(0, offset - DOTS); at < listing.names.length; at++) {
    const name = listing.names[at];
    if (name === null || name === undefined || !listing.isVisibleAt(at)) continue;
    if (!sink.fits(name)) return;
    const child = findForList(ov, inode, listing, at);
    if (child === 'broken') {
      // It is listed, as the kernel lists it; a look-up will say what is wrong with it.
      if (!sink.add(name, UNKNOWN_INO, 0, sys.DT_UNKNOWN, at + DOTS + 1)) return;
      continue;
    }
    if (child === null) continue;
    if (!give(ov, child, name, at + DOTS + 1, sink, entry)) return;
  }
}

/** An entry that can't be looked up does not cost the others their place. */
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

function give(ov: Overlay, child: Inode, name: string, next: number, sink: DirSink, entry: Entry): boolean {
  const dtype = child.type >> 12;
  if (!sink.plus) {
    const taken = sink.add(name, child.inoLo, child.inoHi, dtype, next);
    dropInode(ov, child);
    return taken;
  }
  child.nlookup++;
  entry.node = child.id;
  entry.keepName = child.index === null || ov.upperLayer === null;
  fillAttr(ov, child, entry.attr);
  // An owner xattr may say that a file stands for a device (override-stat.ts).
  return sink.addPlus(name, entry, (entry.attr.mode & sys.S_IFMT) >> 12, next);
}
