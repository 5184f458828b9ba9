/** unlink and rmdir, like ovl_do_remove(): a name that is visible below gets a whiteout. */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import type { Name } from '../vfs/types.js';
import { copyUpDir, settle } from './copy-up.js';
import { dirOf, type Inode, isMerge, type RealDir } from './inode.js';
import { refuseRemoval } from './inode-flags.js';
import { dropLink, startNlink } from './link-index.js';
import { isOnLower } from './listing.js';
import { findExisting } from './lookup.js';
import { listingOf } from './merge.js';
import { removeName } from './names.js';
import type { Overlay } from './state.js';
import { discard, tempName } from './temp.js';
import { whiteOutDirectory, whiteOutFile, whiteOutFree } from './whiteout.js';

/** Whether something of this name is visible below upper, so that removing the name requires a whiteout. */
export function showsThrough(ov: Overlay, parent: Inode, name: Name): boolean {
  const dir = dirOf(parent);
  if (dir.upper !== null && !isMerge(dir)) return false;
  return isOnLower(listingOf(ov, parent).info(name));
}

/** Removes a name that is not a directory's. ENOENT, EISDIR. */
export function unlink(ov: Overlay, parent: Inode, name: Name): void {
  ov.writable();
  const inode = findExisting(ov, parent, name);
  if (inode.dir !== null) fail(sys.EISDIR, 'unlink');
  refuseRemoval(ov, parent, inode);
  settle(ov, inode);
  const upper = copyUpDir(ov, parent);
  if (inode.index !== null) startNlink(ov, inode, parent, name);
  const below = showsThrough(ov, parent, name);
  // Only now, since building a listing may close any descriptor.
  const upperFd = ov.dirs.fd(upper);
  if (!inode.hasUpper) {
    whiteOutFree(ov, upper, name);
  } else {
    keepingOpen(ov, inode, upperFd, name, () => {
      if (below) whiteOutFile(ov, upper, name);
      // commit point
      else must(sys.unlinkat(upperFd, name), 'unlinkat');
    });
  }
  dirOf(parent).listing?.remove(name, below);
  removeName(inode, parent, name);
  if (inode.index !== null) dropLink(ov, inode);
}

/**
 * Runs `remove`, which removes the last known name of an upper object, after taking a descriptor of the object: those who have it
 * open must still reach it, and under zero-message opens we do not know whether there are any. If the removal fails, the object
 * keeps its name, and the descriptor is closed again.
 */
export function keepingOpen(
  ov: Overlay,
  inode: Inode,
  upperFd: number,
  name: Name,
  remove: () => void,
): void {
  if (inode.orphan >= 0 || inode.index !== null || inode.aliases !== null || inode.nlookup === 0) {
    remove();
    return;
  }
  inode.orphan = must(ov.open(upperFd, name, sys.O_PATH | sys.O_NOFOLLOW | sys.O_CLOEXEC), 'openat');
  try {
    remove();
  } catch (error) {
    sys.close(inode.orphan);
    inode.orphan = -1;
    throw error;
  }
}

/** Whether a directory shows no names; whiteouts don't count. */
export function isEmpty(ov: Overlay, inode: Inode): boolean {
  return listingOf(ov, inode).count === 0;
}

/** Removes an empty directory. ENOENT, ENOTDIR, ENOTEMPTY. */
export function rmdir(ov: Overlay, parent: Inode, name: Name): void {
  ov.writable();
  const inode = findExisting(ov, parent, name);
  if (inode.dir === null) fail(sys.ENOTDIR, 'rmdir');
  refuseRemoval(ov, parent, inode);
  const isPure = inode.hasUpper && !isMerge(dirOf(inode));
  const below = showsThrough(ov, parent, name);
  // Where rmdir(2) on upper alone suffices, upper answers for itself: what it still holds may be whiteouts.
  if (!(isPure && !below) && !isEmpty(ov, inode)) fail(sys.ENOTEMPTY, 'rmdir');
  const upper = copyUpDir(ov, parent);
  const upperFd = ov.dirs.fd(upper);
  if (!inode.hasUpper) {
    whiteOutFree(ov, upper, name);
  } else {
    keepingOpen(ov, inode, upperFd, name, () => {
      if (below) whiteOutDirectory(ov, upper, name);
      else removePure(ov, inode, upper, name);
    });
  }
  dirOf(parent).listing?.remove(name, below);
  buryDirectory(ov, inode, parent, name);
}

function removePure(ov: Overlay, inode: Inode, upper: RealDir, name: Name): void {
  // commit point
  const rc = sys.unlinkat(ov.dirs.fd(upper), name, sys.AT_REMOVEDIR);
  if (rc !== -sys.ENOTEMPTY && rc !== -sys.EEXIST) {
    must(rc, 'unlinkat');
    return;
  }
  if (!isEmpty(ov, inode)) fail(sys.ENOTEMPTY, 'rmdir');
  const temp = tempName(ov);
  // commit point
  must(sys.renameat2(ov.dirs.fd(upper), name, ov.work, temp), 'renameat2');
  discard(ov, temp, true);
}

/** A removed directory lists as empty and accepts no new names, for processes that are still in it. */
export function buryDirectory(ov: Overlay, inode: Inode, parent: Inode, name: Name): void {
  const dir = dirOf(inode);
  dir.dead = true;
  ov.listings.drop(inode);
  if (inode.hasUpper) ov.dirs.drop(dir.upper!);
  removeName(inode, parent, name);
}
