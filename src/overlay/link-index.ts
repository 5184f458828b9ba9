/**
 * The index of `index=on`: lower hard links survive their copy-up. As ovl_lookup_index(), ovl_link_up(),
 * ovl_nlink_start() and their relatives.
 *
 * A lower file with several links is one inode under all its names. It is copied up to `index/`, under the name of its origin
 * in hex, and from there gets a hard link for each name under which it is changed; the other names continue to lead to the
 * lower file, whose origin leads to the index.
 *
 * The kernel's requests identify inodes, not names. To learn which name is meant, we make it look these names up each time
 * (Entry.keepName); the name last looked up becomes the inode's first.
 *
 * The link count that callers see, the union nlink, counts upper names and lower names that are not covered. It is stored in
 * `overlay.nlink`, relative to the real count of the upper (`U+n`) or the lower file (`L+n`), whichever the next step will
 * not change.
 */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import type { Layer } from './config.js';
import { copyUp, copyUpDir } from './copy-up.js';
import { dirOf, type Inode, isMerge, type LinkEntry, type RealDir } from './inode.js';
import { install } from './install.js';
import { sourceOf } from './listing.js';
import { readMarks } from './marks.js';
import { listingOf } from './merge.js';
import { makeFirst } from './names.js';
import { decodeNlink, encodeNlink, NLINK_MAX } from './nlink-xattr.js';
import { encodeOrigin } from './origin.js';
import type { Overlay } from './state.js';

function lowerKey(layer: Layer, stat: sys.Stat): string {
  return `${layer.fsid}:${stat.inoHi}:${stat.inoLo}`;
}

/** The known inode of the lower file whose attributes are in `stat`, if it was found under another name before. */
export function knownLink(ov: Overlay, layer: Layer, stat: sys.Stat): Inode | undefined {
  return ov.lowerLinks.get(lowerKey(layer, stat));
}

/** Name of the index entry of an origin (ovl_get_index_name()). */
function entryName(layer: Layer, handle: sys.FileHandle): string {
  return encodeOrigin(layer.uuid, handle, false).toString('hex');
}

/**
 * Looks for an index entry and puts its attributes into `ov.probe`. Returns false when there is none. EIO for one that can't belong
 * to a file of `type`.
 */
function hasEntry(ov: Overlay, name: string, type: number): boolean {
  const rc = sys.statx(ov.indexDir, name, ov.probe);
  if (rc === -sys.ENOENT) return false;
  must(rc, 'index');
  if (ov.probe.isWhiteout || (ov.probe.mode & sys.S_IFMT) !== type) fail(sys.EIO, 'bad index');
  return true;
}

/** The union nlink of an entry that {@link hasEntry} found. */
function readNlink(ov: Overlay, name: string, lowerNlink: number): number {
  const upperNlink = ov.probe.nlink;
  if (lowerNlink === 1) return upperNlink;
  const size = sys.getxattr(ov.indexDir, name, ov.own.nlink, ov.scratch, NLINK_MAX);
  const value = size < 0 ? '' : ov.scratch.latin1Slice(0, size);
  const nlink = decodeNlink(value, upperNlink, lowerNlink);
  return nlink > 0 ? nlink : upperNlink;
}

/**
 * Makes `inode`, a lower file with several links just found as `name` in `where`, the inode of all of them; if it was copied up
 * under any of them, its object is on upper. `ov.stat` holds its attributes before and after the call. EIO.
 */
export function attachLower(ov: Overlay, inode: Inode, where: RealDir, name: string): void {
  const { stat } = ov;
  const handle = sys.nameToHandle(ov.dirs.fd(where), name);
  if (typeof handle === 'number') fail(-handle, 'index name');
  const entry: LinkEntry = {
    key: lowerKey(where.layer, stat),
    name: entryName(where.layer, handle),
    lowerNlink: stat.nlink,
    nlink: stat.nlink,
  };
  if (hasEntry(ov, entry.name, inode.type)) {
    const data = inode.data ?? { dir: where, name, redirect: null, hardLinked: true };
    entry.nlink = readNlink(ov, entry.name, stat.nlink);
    const marks = inode.type === sys.S_IFREG ? readMarks(ov, ov.indexDir, entry.name) : null;
    if (marks?.metacopy) data.redirect = marks.redirect;
    must(sys.statx(ov.indexDir, entry.name, stat), 'index');
    inode.hasUpper = true;
    inode.data = marks?.metacopy ? data : null;
    inode.lowerDir = null;
    inode.linkKey = sys.inodeNumber(stat);
    ov.upperLinks.set(inode.linkKey, inode);
  }
  inode.index = entry;
  ov.lowerLinks.set(entry.key, inode);
}

/**
 * If `inode`, an upper file just found with its attributes in `ov.stat`, is the indexed copy of the lower file with this handle
 * and the attributes `origin`, makes it the inode of all its names. Returns whether it is. EIO.
 */
export function attachUpper(
  ov: Overlay,
  inode: Inode,
  layer: Layer,
  handle: sys.FileHandle,
  origin: sys.Stat,
): boolean {
  const key = lowerKey(layer, origin);
  const lowerNlink = origin.nlink;
  const name = entryName(layer, handle);
  if (!hasEntry(ov, name, inode.type)) return false;
  // Another upper file: this one was not indexed, or the index was cleared in the meantime.
  if (ov.probe.inoLo !== ov.stat.inoLo || ov.probe.inoHi !== ov.stat.inoHi) return false;
  inode.index = { key, name, lowerNlink, nlink: readNlink(ov, name, lowerNlink) };
  ov.lowerLinks.set(key, inode);
  return true;
}

/** Stores the union nlink relative to the real count of upper (`U`) or lower (`L`). */
function storeNlink(ov: Overlay, entry: LinkEntry, relativeTo: 'U' | 'L'): void {
  let base = entry.lowerNlink;
  if (relativeTo === 'U') {
    must(sys.statx(ov.indexDir, entry.name, ov.probe), 'index');
    base = ov.probe.nlink;
  }
  const value = Buffer.from(encodeNlink(entry.nlink, relativeTo, base), 'latin1');
  must(sys.setxattr(ov.indexDir, entry.name, ov.own.nlink, value, value.length), 'set nlink');
}

/** After a copy-up to the index: links the first name. */
export function linkUpFirst(ov: Overlay, inode: Inode): void {
  storeNlink(ov, inode.index!, 'U');
  linkUp(ov, inode, inode.parent!, inode.name);
  if (sys.statx(ov.indexDir, inode.index!.name, ov.probe) < 0) return;
  inode.linkKey = sys.inodeNumber(ov.probe);
  ov.upperLinks.set(inode.linkKey, inode);
}

/** Makes sure that `name` in `parent`, a name of an indexed file, has a link on upper (ovl_link_up()). */
export function linkUp(ov: Overlay, inode: Inode, parent: Inode, name: string): void {
  if (isLinkedUp(ov, parent, name)) return;
  const entry = inode.index!;
  copyUpDir(ov, parent);
  ov.credentials.self();
  storeNlink(ov, entry, 'L');
  install(ov, parent, (upperFd) => sys.linkat(ov.indexDir, entry.name, upperFd, name));
  dirOf(parent).listing?.setUpper(name, inode.type >> 12);
  storeNlink(ov, entry, 'U');
}

/** Whether a name of an indexed file has a link on upper. */
function isLinkedUp(ov: Overlay, parent: Inode, name: string): boolean {
  const dir = dirOf(parent);
  if (dir.upper === null) return false;
  return !isMerge(dir) || sourceOf(listingOf(ov, parent).info(name)) === 0;
}

/** Copies up a file with an entry, and gives the name `name` in `parent` a link on upper. */
export function copyUpName(ov: Overlay, inode: Inode, parent: Inode, name: string): void {
  makeFirst(inode, parent, name);
  copyUp(ov, inode, 'metacopy');
}

/**
 * First step of adding or removing a name of a file with an entry: the number of upper names is about to change, and the union
 * nlink with it (ovl_nlink_start()). `name` in `parent` is one of its names.
 */
export function startNlink(ov: Overlay, inode: Inode, parent: Inode | null, name: string): void {
  if (parent !== null) copyUpName(ov, inode, parent, name);
  storeNlink(ov, inode.index!, 'U');
}

/** After a file with an entry has lost a name. The entry is removed with the last one (ovl_drop_nlink(), ovl_nlink_end()). */
export function dropLink(ov: Overlay, inode: Inode): void {
  const entry = inode.index!;
  // The count does not reach zero while a name is known: a lower link may have been added behind our back.
  if (entry.nlink > (inode.parent === null ? 0 : 1)) entry.nlink--;
  if (entry.nlink > 0) return;
  if (sys.statx(ov.indexDir, entry.name, ov.probe) < 0) return;
  if (ov.probe.nlink !== 1) {
    entry.nlink = ov.probe.nlink - 1;
    storeNlink(ov, entry, 'U');
    return;
  }
  if (inode.nlookup > 0 && inode.orphan < 0) {
    const fd = ov.open(ov.indexDir, entry.name, sys.O_PATH | sys.O_NOFOLLOW | sys.O_CLOEXEC);
    // Then it stays in the index, for those who have it open; the next mount removes it.
    if (fd < 0) {
      ov.bestEffort('keep an indexed file open', fd);
      return;
    }
    inode.orphan = fd;
  }
  ov.bestEffort('remove index', sys.unlinkat(ov.indexDir, entry.name));
  leaveIndex(ov, inode);
}

/** Detaches an inode from the index: it is being freed, or its last link is gone. */
export function leaveIndex(ov: Overlay, inode: Inode): void {
  const { key } = inode.index!;
  if (ov.lowerLinks.get(key) === inode) ov.lowerLinks.delete(key);
  inode.index = null;
}
