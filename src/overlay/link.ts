/** Hard links: another name for an existing object. */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import type { Name } from '../vfs/types.js';
import { copyUp, settle } from './copy-up.js';
import { prepareName } from './create.js';
import { dirOf, type Inode, type RealDir } from './inode.js';
import { PROTECTED, refuse } from './inode-flags.js';
import { startNlink } from './link-index.js';
import { locate } from './locate.js';
import { isImpure, markImpure } from './marks.js';
import { addName } from './names.js';
import { setRedirect } from './redirect-up.js';
import type { Overlay } from './state.js';
import { discard, tempName } from './temp.js';
import { clearBeside, findWhiteout } from './whiteout.js';

/** Adds a name to an inode that is not a directory (ovl_link()). EPERM for a directory, EEXIST. */
export function link(ov: Overlay, inode: Inode, parent: Inode, name: Name): void {
  ov.writable();
  if (inode.dir !== null) fail(sys.EPERM, 'link to a directory');
  settle(ov, inode);
  const there = prepareName(ov, parent, name);
  refuse(ov, inode, PROTECTED);
  copyUp(ov, inode, 'metacopy');
  if (inode.index !== null) startNlink(ov, inode, inode.parent, inode.name);
  if (inode.data !== null && inode.parent !== null) {
    setRedirect(ov, inode, { parent: inode.parent, name: inode.name }, false);
  }
  if (bringsOrigin(ov, inode, parent)) markImpure(ov, parent);
  const upper = dirOf(parent).upper!;
  const upperFd = ov.dirs.fd(upper);
  if (there === 'whiteout') linkOverWhiteout(ov, inode, upper, name);
  else linkFree(ov, inode, upper, name);
  if (inode.index !== null) inode.index.nlink++;
  dirOf(parent).listing?.setUpper(name, inode.type >> 12);
  addName(inode, parent, name);
  must(sys.statx(upperFd, name, ov.stat), 'statx');
  if (inode.linkKey === 0 && ov.stat.nlink > 1) {
    inode.linkKey = sys.inodeNumber(ov.stat);
    ov.upperLinks.set(inode.linkKey, inode);
  }
}

/** Whether a file that gets a name in `parent` may have an origin, so that the directory must become impure. */
function bringsOrigin(ov: Overlay, inode: Inode, parent: Inode): boolean {
  if (inode.index !== null) return true;
  return inode.parent !== null && inode.parent !== parent && isImpure(ov, inode.parent);
}

function linkReal(ov: Overlay, inode: Inode, toFd: number, name: string): number {
  locate(ov, inode);
  if (ov.atName !== '') return sys.linkat(ov.atFd, ov.atName, toFd, name);
  return sys.linkat(sys.AT_FDCWD, `/proc/self/fd/${ov.atFd}`, toFd, name, sys.AT_SYMLINK_FOLLOW);
}

function linkFree(ov: Overlay, inode: Inode, upper: RealDir, name: string): void {
  // commit point
  const rc = linkReal(ov, inode, ov.dirs.fd(upper), name);
  if (rc === -sys.EEXIST && findWhiteout(ov, upper, name) === 'at name')
    linkOverWhiteout(ov, inode, upper, name);
  else must(rc, 'linkat');
}

function linkOverWhiteout(ov: Overlay, inode: Inode, upper: RealDir, name: string): void {
  const temp = tempName(ov);
  must(linkReal(ov, inode, ov.work, temp), 'linkat');
  // commit point
  const rc = sys.renameat2(ov.work, temp, ov.dirs.fd(upper), name);
  if (rc < 0) discard(ov, temp, false);
  must(rc, 'renameat2');
  clearBeside(ov, upper, name);
}
