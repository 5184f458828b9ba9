/** Writing redirects, for the rename of objects with a lower part under `redirect_dir=on`. */
import * as sys from '../sys/index.js';
import { fail } from '../vfs/errors.js';
import { type Alias, dirOf, type Inode, isMerge } from './inode.js';
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
 * Records on the upper object where its lower part is: by its old name if it stays in its directory, else by an absolute path. An
 * existing absolute redirect remains correct. A file with several links, on lower or soon, has names in several directories, so
 * its redirect is absolute (ovl_set_redirect()). `place` is the object's present name. EXDEV when the redirect does not fit.
 */
export function setRedirect(ov: Overlay, inode: Inode, place: Alias, isRelative: boolean): void {
  const holder = inode.dir ?? inode.data!;
  const relative = isRelative && !(inode.data?.hardLinked ?? false);
  if (holder.redirect !== null && (relative || holder.redirect.startsWith('/'))) return;
  const redirect = relative ? place.name : absolutePath(place, holder.redirect);
  const value = Buffer.from(redirect, 'latin1');
  if (value.length > REDIRECT_MAX) fail(sys.EXDEV, 'redirect too long');
  locate(ov, inode);
  const rc = sys.setxattr(ov.atFd, ov.atName, ov.own.redirect, value, value.length);
  if (rc < 0) fail(sys.EXDEV, 'set redirect');
  holder.redirect = redirect;
}

/** Path of the lower part from the overlay root; redirects on the way replace names (ovl_get_redirect()). */
function absolutePath(place: Alias, own: string | null): string {
  let path = `/${own ?? place.name}`;
  for (let at: Inode = place.parent; at.parent !== null; at = at.parent) {
    const redirect = dirOf(at).redirect ?? at.name;
    if (redirect.startsWith('/')) return redirect + path;
    path = `/${redirect}${path}`;
  }
  return path;
}
