/** Writing redirects: renaming what has a lower part, with `redirect_dir=on`. */
import * as sys from '../sys/index.js';
import { fail } from '../vfs/errors.js';
import { dirOf, type Inode, isMerge, type RealDir, type RealFile } from './inode.js';
import { locate } from './locate.js';
import type { Overlay } from './state.js';

/** Longest redirect in bytes (module parameter `redirect_max`). */
const REDIRECT_MAX = 256;

/** EXDEV for a directory that has a lower part, unless redirects are written (ovl_can_move()). */
export function checkRedirectable(ov: Overlay, inode: Inode): void {
  if (inode.dir === null || ov.options.redirectDir === 'on') return;
  if (!inode.hasUpper || isMerge(dirOf(inode))) fail(sys.EXDEV, 'rename of a directory with a lower part');
}

/**
 * Records on the upper object where its lower part is: by its old name if it stays in its directory, else by an
 * absolute path; a redirect that it has already stays right if it is absolute (ovl_set_redirect()). EXDEV when it
 * does not fit.
 */
export function setRedirect(ov: Overlay, inode: Inode, sameDirectory: boolean): void {
  const relative = sameDirectory && inode.dir !== null;
  const old = inode.dir === null ? null : inode.dir.redirect;
  if (old !== null && (relative || old.startsWith('/'))) return;
  const redirect = redirectFor(inode, relative);
  const value = Buffer.from(redirect, 'latin1');
  if (value.length > REDIRECT_MAX) fail(sys.EXDEV, 'redirect too long');
  locate(ov, inode);
  const rc = sys.setxattr(ov.atFd, ov.atName, ov.own.redirect, value, value.length);
  if (rc < 0) fail(sys.EXDEV, 'set redirect');
  if (inode.dir !== null) inode.dir.redirect = redirect;
}

/** A metacopy's redirect names its data by the path on its layer: the name alone would do only where it stays. */
function redirectFor(inode: Inode, relative: boolean): string {
  if (inode.data !== null) return pathOnLayer(inode.data);
  return relative ? inode.name : absolutePath(inode);
}

/** Path of a file from the root of its layer. */
function pathOnLayer(file: RealFile): string {
  let path = `/${file.name}`;
  for (let dir: RealDir | null = file.dir; dir !== null && dir.parent !== null; dir = dir.parent) {
    path = `/${dir.name}${path}`;
  }
  return path;
}

/** Path of the lower part from the overlay root: redirects on the way replace names (ovl_get_redirect()). */
function absolutePath(inode: Inode): string {
  let path = '';
  for (let at: Inode | null = inode; at !== null && at.parent !== null; at = at.parent) {
    const redirect = dirOf(at).redirect ?? at.name;
    if (redirect.startsWith('/')) return redirect + path;
    path = `/${redirect}${path}`;
  }
  return path;
}
