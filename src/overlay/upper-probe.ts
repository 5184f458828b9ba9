/** What the upper's filesystem can do, found by doing it once in `work`: as ovl_make_workdir(). */

import {
  close,
  DT_UNKNOWN,
  EOPNOTSUPP,
  errnoName,
  ficlone,
  mknodat,
  O_CLOEXEC,
  O_RDWR,
  O_TMPFILE,
  openat,
  RENAME_WHITEOUT,
  readDirectory,
  removexattr,
  renameat2,
  S_IFCHR,
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

/** Tries each feature once; leaves `work` empty. */
export function probeUpper(work: number, upper: SourceDir, options: OverlayOptions): UpperFeatures {
  const attribute = new OwnXattrs(options.userxattr).opaque;
  const xattrRc = setxattr(work, '', attribute, probe, 1);
  if (xattrRc === 0) removexattr(work, '', attribute);

  // One device node serves two probes: RENAME_WHITEOUT leaves another in its place.
  const chardev = mknodat(work, '#probe', S_IFCHR) === 0;
  let renameWhiteout = false;
  if (chardev) {
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
    xattr: xattrRc === 0,
    chardev,
    renameWhiteout,
    tmpfile: temporary >= 0,
    reflink,
    handles,
    commitsInOrder: commitsInOrder(work),
  };
}
