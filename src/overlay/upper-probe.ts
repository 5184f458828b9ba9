/** What the upper's filesystem can do, found by doing it once in `work`: as ovl_make_workdir(). */

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

/** Without entry types in listings, whiteouts could not be told from files. `workdir` is open for reading. */
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

/** Whether the filesystem can do what it answered to with `rc`: one that is full now could, with more room. */
function can(rc: number): boolean {
  return rc >= 0 || rc === -ENOSPC || rc === -EDQUOT;
}

/** Whether names can be exchanged, or with `whiteout=aufs`, which needs no more, be given where none is. */
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
    // A clone of an empty file onto itself: a filesystem that can't clone says so, others find nothing to do or object.
    const rc = ficlone(temporary, temporary);
    reflink = rc !== -EOPNOTSUPP;
    close(temporary);
  }
  const handles = upper.fs.handles !== 'none';
  return {
    xattr: can(xattrRc),
    chardev: can(chardevRc),
    // Who knows this one knows the others.
    renameFlags: renameWhiteout || probeRenameFlags(work, options),
    renameWhiteout,
    tmpfile: temporary >= 0,
    reflink,
    handles,
    commitsInOrder: commitsInOrder(work),
  };
}
