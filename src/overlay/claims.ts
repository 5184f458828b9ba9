/**
 * One lower object is one inode: ovl_get_inode() and ovl_verify_inode().
 *
 * Two upper files with the same origin, or two upper directories with the same redirect, would show one st_ino for different
 * objects. No overlay produces such a pair, but copying or renaming in an upper by other means does. The first one to become
 * known is served; the other is ESTALE until the first is forgotten.
 *
 * A pair of which one is a lower file, or was copied up since the mount, is not detected, because there is no index by st_ino
 * over all inodes. Then both are served, with the same st_ino.
 */
import * as sys from '../sys/index.js';
import { fail } from '../vfs/errors.js';
import { type Inode, isMerge } from './inode.js';
import type { Overlay } from './state.js';

function keyOf(inode: Inode): string {
  return `${inode.inoHi}:${inode.inoLo}`;
}

/** Claims the number of `inode`, which a mark on upper assigned to it. ESTALE when another known inode has claimed it. */
export function claim(ov: Overlay, inode: Inode): void {
  // Then numbers of different filesystems are not kept apart.
  if (ov.opened.xinoBits < 0) return;
  verifyClaim(ov, inode);
  ov.claims.set(keyOf(inode), inode);
}

/** The number of a directory without a redirect may have been claimed by one with a redirect. ESTALE. */
export function verifyClaim(ov: Overlay, inode: Inode): void {
  if (ov.claims.size === 0) return;
  const other = ov.claims.get(keyOf(inode));
  // An inode without a name is gone, or was replaced behind our back.
  if (other !== undefined && other !== inode && other.parent !== null) fail(sys.ESTALE, 'claimed twice');
}

/** The same for a redirect: also ESTALE when the directory at its path is known to exist still, under its own name. */
export function claimRedirect(ov: Overlay, parent: Inode, inode: Inode): void {
  const path = inode.dir!.redirect!;
  let at: Inode | undefined = path.startsWith('/') ? ov.root! : parent;
  for (const name of path.split('/')) if (name !== '') at = at?.dir?.children.get(name);
  const same = at !== undefined && at !== inode && keyOf(at) === keyOf(inode);
  if (same && isMerge(inode.dir!)) fail(sys.ESTALE, 'lower directory of another');
  claim(ov, inode);
}

/** Gives up the claim of an inode that is freed. */
export function unclaim(ov: Overlay, inode: Inode): void {
  if (ov.claims.size === 0 || !inode.hasUpper) return;
  const key = keyOf(inode);
  if (ov.claims.get(key) === inode) ov.claims.delete(key);
}
