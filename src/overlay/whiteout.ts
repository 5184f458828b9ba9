/** Whiteouts and opaque directories: how layers say "nothing here", and how we write it. */
import * as sys from '../sys/index.js';
import { must } from '../vfs/errors.js';
import type { RealDir } from './inode.js';
import type { Overlay } from './state.js';
import { tempName } from './temp.js';

/** Prefix of whiteout files in AUFS and OCI layers. */
export const WH_PREFIX = '.wh.';
/** AUFS/OCI mark of an opaque directory. */
export const WH_OPAQUE = '.wh..wh..opq';
/** Other names that AUFS keeps for itself. */
export const WH_RESERVED = '.wh..wh.';

/** Whether callers may not use `name`, because in a layer it would be read as a whiteout of another name. */
export function isReservedName(ov: Overlay, name: string): boolean {
  return ov.options.whPrefix && name.startsWith(WH_PREFIX);
}

/**
 * Whether an entry found by reading `dir` is a whiteout: a character device 0:0, or in a directory marked
 * `opaque=x` an empty regular file with the xattr `overlay.whiteout` (ovl_path_is_whiteout()).
 */
export function isWhiteoutEntry(ov: Overlay, dir: RealDir, name: string, type: number): boolean {
  if (type !== sys.DT_CHR && type !== sys.DT_UNKNOWN && !(dir.xwhiteouts && type === sys.DT_REG))
    return false;
  if (sys.statx(ov.dirs.fd(dir), name, ov.probe) < 0) return false;
  return isWhiteoutStat(ov, dir, name, ov.probe);
}

/**
 * The same for an object whose attributes are at hand. The mark of its directory does not matter: once any directory
 * of a layer was found marked, look-ups in all of that layer take the xattr for what it says (ovl_path_is_whiteout()).
 */
export function isWhiteoutStat(ov: Overlay, dir: RealDir, name: string, stat: sys.Stat): boolean {
  if (stat.isWhiteout) return true;
  if (!ov.xwhiteoutLayers.has(dir.layer) || stat.size !== 0 || (stat.mode & sys.S_IFMT) !== sys.S_IFREG)
    return false;
  return sys.getxattr(ov.dirs.fd(dir), name, ov.own.whiteout, ov.scratch, 0) >= 0;
}

/**
 * Puts a whiteout into the work directory and returns its name there. Whiteouts are hard links of one inode, which
 * the first call makes, as the kernel's ovl_whiteout(); where links are refused, each is made anew.
 */
export function makeWhiteout(ov: Overlay): string {
  const name = tempName(ov);
  const { work } = ov;
  if (ov.sharedWhiteout !== null) {
    const rc = sys.linkat(work, ov.sharedWhiteout, work, name);
    if (rc >= 0) return name;
    // EMLINK and friends: this one has as many names as it can have.
    sys.unlinkat(work, ov.sharedWhiteout);
    ov.sharedWhiteout = null;
  }
  ov.credentials.self();
  must(sys.mknodat(work, name, sys.S_IFCHR), 'mknodat');
  const shared = tempName(ov);
  if (sys.linkat(work, name, work, shared) >= 0) ov.sharedWhiteout = shared;
  return name;
}

/**
 * Whites out `name` in the upper directory `upperFd`, where nothing stands at the name yet: one call that is the
 * commit point.
 */
export function whiteOutFree(ov: Overlay, upperFd: number, name: string): void {
  if (ov.sharedWhiteout !== null) {
    // commit point
    const rc = sys.linkat(ov.work, ov.sharedWhiteout, upperFd, name);
    if (rc >= 0) return;
    if (rc !== -sys.EMLINK) must(rc, 'linkat');
  }
  const made = makeWhiteout(ov);
  // commit point
  must(sys.renameat2(ov.work, made, upperFd, name, sys.RENAME_NOREPLACE), 'renameat2');
}

/** Whites out `name` where upper has a file: the whiteout takes its place in one step. */
export function whiteOutFile(ov: Overlay, upperFd: number, name: string): void {
  const made = makeWhiteout(ov);
  // commit point
  must(sys.renameat2(ov.work, made, upperFd, name), 'renameat2');
}
