/** What the upper's filesystem supports, determined by trying it in `work`, like ovl_make_workdir(). */

import {
  close,
  DT_UNKNOWN,
  EDQUOT,
  ENOSPC,
  EOPNOTSUPP,
  errnoName,
  ficlone,
  mknodat,
  O_CLOEXEC,
  O_RDWR,
  O_TMPFILE,
  openat,
  RENAME_EXCHANGE,
  RENAME_NOREPLACE,
  RENAME_WHITEOUT,
  readDirectory,
  removexattr,
  renameat2,
  S_IFCHR,
  S_IFREG,
  setxattr,
  unlinkat,
} from '../sys/index.js';
import { commitsInOrder } from './commit-order.js';
import type { OverlayOptions, UpperFeatures } from './config.js';
import { OwnXattrs } from './own-xattrs.js';
import type { SourceDir } from './source-dir.js';
import { UserError } from './user-error.js';

export const NO_FEATURES: UpperFeatures = {
  xattr: false,
  chardev: false,
  renameFlags: false,
  renameWhiteout: false,
  tmpfile: false,
  reflink: false,
  handles: false,
  commitsInOrder: false,
};

const probe = Buffer.from('0');

/**
 * Requires entry types in listings, without which whiteouts can't be told from files. `workdir` is open for reading. Throws a
 * UserError.
 */
export function checkEntryTypes(workdir: number, upper: SourceDir): void {
  const entries = readDirectory(workdir);
  if (typeof entries === 'number') {
    throw new UserError(
      `workdir of ${upper.option} '${upper.path}' can't be listed (${errnoName(entries)}).`,
    );
  }
  if (entries.some((entry) => entry.name === 'work' && entry.type === DT_UNKNOWN)) {
    throw new UserError(
      `upperdir '${upper.path}' is on a filesystem without entry types (d_type); choose another filesystem, or format it with them (xfs: ftype=1).`,
    );
  }
}

/** Whether a probe that returned `rc` shows support: a full filesystem could do it with more space. */
function can(rc: number): boolean {
  return rc >= 0 || rc === -ENOSPC || rc === -EDQUOT;
}

/** Whether names can be exchanged; with `whiteout=aufs`, whether RENAME_NOREPLACE works, which is all that it needs. */
function probeRenameFlags(work: number, options: OverlayOptions): boolean {
  const made = mknodat(work, '#probe', S_IFREG);
  if (made >= 0 && options.whiteout !== 'aufs') mknodat(work, '#probe2', S_IFREG);
  const flag = options.whiteout === 'aufs' ? RENAME_NOREPLACE : RENAME_EXCHANGE;
  const rc = made < 0 ? made : renameat2(work, '#probe', work, '#probe2', flag);
  unlinkat(work, '#probe');
  unlinkat(work, '#probe2');
  return can(rc);
}

/** Tries each feature once; leaves `work` empty. */
export function probeUpper(work: number, upper: SourceDir, options: OverlayOptions): UpperFeatures {
  const attribute = new OwnXattrs(options.userxattr).opaque;
  const xattrRc = setxattr(work, '', attribute, probe, 1);
  if (xattrRc === 0) removexattr(work, '', attribute);

  // One device node serves two probes: RENAME_WHITEOUT leaves another in its place.
  const chardevRc = mknodat(work, '#probe', S_IFCHR);
  let renameWhiteout = false;
  if (chardevRc === 0) {
    renameWhiteout = renameat2(work, '#probe', work, '#probe2', RENAME_WHITEOUT) === 0;
    unlinkat(work, '#probe');
    if (renameWhiteout) unlinkat(work, '#probe2');
  }

  const temporary = openat(work, '.', O_TMPFILE | O_RDWR | O_CLOEXEC, 0o600);
  let reflink = false;
  if (temporary >= 0) {
    // Cloning an empty file onto itself: a filesystem without reflinks says so; others do nothing, or object to the arguments.
    const rc = ficlone(temporary, temporary);
    reflink = rc !== -EOPNOTSUPP;
    close(temporary);
  }
  const handles = upper.fs.handles !== 'none';
  return {
    xattr: can(xattrRc),
    chardev: can(chardevRc),
    // A filesystem with RENAME_WHITEOUT has the other flags, too.
    renameFlags: renameWhiteout || probeRenameFlags(work, options),
    renameWhiteout,
    tmpfile: temporary >= 0,
    reflink,
    handles,
    commitsInOrder: commitsInOrder(work),
  };
}
