/** Builds the listing of a directory by reading its real directories, like the kernel's ovl_dir_read_merged(). */
import * as sys from '../sys/index.js';
import { must } from '../vfs/errors.js';
import { LISTING_HIT, LISTING_MISS } from './cache-counts.js';
import { type DirState, type Inode, isMerge, type RealDir } from './inode.js';
import { Listing } from './listing.js';
import type { Overlay } from './state.js';
import { isWhiteoutEntry, WH_OPAQUE, WH_PREFIX, WH_RESERVED } from './whiteout.js';

/** The listing of a directory, built if necessary. May close any cached descriptor. Throws FsError when a layer can't be read. */
export function listingOf(ov: Overlay, inode: Inode): Listing {
  const dir = inode.dir!;
  if (dir.listing !== null) {
    ov.counts[LISTING_HIT]!++;
    ov.listings.touch(inode, dir.listing);
    return dir.listing;
  }
  ov.counts[LISTING_MISS]!++;
  const listing = isMerge(dir) ? mergeSources(ov, dir) : readSingle(ov, dir);
  ov.listings.set(inode, listing);
  return listing;
}

function readSingle(ov: Overlay, dir: DirState): Listing {
  const real = dir.real[0]!;
  const source = real.isUpper ? 0 : 1;
  const listing = new Listing(real.isUpper ? [real] : [null, real]);
  ov.dirs.list(real, (found) => {
    if (ov.options.whPrefix && found.name.startsWith(WH_PREFIX)) {
      if (real.isUpper) ov.whUpper = true;
      return;
    }
    if (!isWhiteoutEntry(ov, real, found.name, found.type)) listing.appendOnly(found, source);
  });
  return listing;
}

/** What one source contributes besides its objects. */
interface SourceMarks {
  /** Names hidden below by `.wh.` files. */
  readonly hidden: string[];
  /** Holds `.wh..wh..opq`: nothing below is merged. */
  opaque: boolean;
}

function mergeSources(ov: Overlay, dir: DirState): Listing {
  const sources: (RealDir | null)[] = dir.upper === null ? [null, ...dir.real] : [...dir.real];
  const listing = new Listing(sources);
  let lowest: string[] = [];
  for (let source = 0; source < sources.length; source++) {
    const real = sources[source];
    if (real === null || real === undefined) continue;
    const marks: SourceMarks = { hidden: [], opaque: false };
    lowest = mergeOne(ov, real, source, listing, marks);
    // A `.wh.` file hides what is below its own layer, but not its sibling of that name.
    for (const name of marks.hidden) listing.mergeWhiteout(name, source);
    if (marks.opaque) {
      sources.length = source + 1;
      dir.real.length = dir.real.indexOf(real) + 1;
    }
  }
  listing.finish(lowest);
  return listing;
}

function mergeOne(
  ov: Overlay,
  real: RealDir,
  source: number,
  listing: Listing,
  marks: SourceMarks,
): string[] {
  const order: string[] = [];
  ov.dirs.list(real, (found) => {
    const { name, type } = found;
    if (ov.options.whPrefix && name.startsWith(WH_PREFIX)) {
      if (real.isUpper) ov.whUpper = true;
      if (name === WH_OPAQUE) marks.opaque = true;
      else if (!name.startsWith(WH_RESERVED)) marks.hidden.push(name.slice(WH_PREFIX.length));
      return;
    }
    if (isWhiteoutEntry(ov, real, name, type)) {
      listing.mergeWhiteout(name, source);
      return;
    }
    order.push(name);
    listing.mergeObject(found, source, type === sys.DT_UNKNOWN ? realType(ov, real, name) : type);
  });
  return order;
}

/** DT_* of an entry whose filesystem does not report types (IFTODT()). */
function realType(ov: Overlay, real: RealDir, name: string): number {
  must(sys.statx(ov.dirs.fd(real), name, ov.probe), 'statx');
  return (ov.probe.mode & sys.S_IFMT) >> 12;
}
