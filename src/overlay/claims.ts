/**
 * One lower object is one inode: ovl_get_inode() and ovl_verify_inode().
 *
 * Two upper files with one origin, or two upper directories with one redirect, would show one st_ino for different
 * objects. No overlay leaves such a pair, but copying or renaming in an upper by other means makes one. The one that
 * is known first is served; the other is ESTALE until that is forgotten.
 *
 * Not found, for want of an index by st_ino over all inodes: a pair of which one is a lower file, or was copied up since
 * the mount. Then both are served, with one st_ino.
 */
import * as sys from '../sys/index.js';
import { fail } from '../vfs/errors.js';
import { type Inode, isMerge } from './inode.js';
import type { Overlay } from './state.js';

function keyOf(inode: Inode): string {
  return `${inode.inoHi}:${inode.inoLo}`;
}

/** Takes the number of `inode`, which a mark on upper gave it. ESTALE when a known one has it. */
export function claim(ov: Overlay, inode: Inode): void {
  // Numbers of several filesystems are not kept apart then.
  if (ov.opened.xinoBits < 0) return;
  verifyClaim(ov, inode);
  ov.claims.set(keyOf(inode), inode);
}

/** A directory whose number is its own may have had it claimed by a redirect. ESTALE. */
export function verifyClaim(ov: Overlay, inode: Inode): void {
  if (ov.claims.size === 0) return;
  const other = ov.claims.get(keyOf(inode));
  // One without a name is gone, or was replaced behind our back.
  if (other !== undefined && other !== inode && other.parent !== null) fail(sys.ESTALE, 'claimed twice');
}

/** The same for a redirect: ESTALE when the directory at its path is known to be there still, under its own name. */
export function claimRedirect(ov: Overlay, parent: Inode, inode: Inode): void {
  const path = inode.dir!.redirect!;
  let at: Inode | undefined = path.startsWith('/') ? ov.root! : parent;
  for (const name of path.split('/')) if (name !== '') at = at?.dir?.children.get(name);
  const same = at !== undefined && at !== inode && keyOf(at) === keyOf(inode);
  if (same && isMerge(inode.dir!)) fail(sys.ESTALE, 'lower directory of another');
  claim(ov, inode);
}

/** An inode is freed. */
export function unclaim(ov: Overlay, inode: Inode): void {
  if (ov.claims.size === 0 || !inode.hasUpper) return;
  const key = keyOf(inode);
  if (ov.claims.get(key) === inode) ov.claims.delete(key);
}
