/** xattrs on the roots of upper and index that tie an upper to its overlay. */

import { readFileSync } from 'node:fs';
import { ENODATA, errnoName, getxattr, nameToHandle, setxattr } from '../sys/index.js';
import type { OverlayOptions } from './config.js';
import { decodeOrigin, encodeOrigin } from './origin.js';
import { OwnXattrs } from './own-xattrs.js';
import type { SourceDir } from './source-dir.js';
import { UserError } from './user-error.js';

const UUID_SIZE = 16;
const value = Buffer.alloc(256);

/**
 * Gives a new upper its own uuid, like ovl_init_uuid_xattr(): with uuid=auto only an upper that was never used, as the absence of
 * an `impure` mark shows. It becomes the f_fsid of a later kernel mount; nothing here depends on it.
 */
export function markUpperRoot(upper: number, options: OverlayOptions): void {
  if (options.uuid === 'off' || options.uuid === 'null') return;
  const own = new OwnXattrs(options.userxattr);
  if (getxattr(upper, '', own.uuid, value, 0) !== -ENODATA) return;
  if (options.uuid === 'auto' && getxattr(upper, '', own.impure, value, 0) !== -ENODATA) return;
  const text = readFileSync('/proc/sys/kernel/random/uuid', 'latin1');
  const uuid = Buffer.from(text.trim().replaceAll('-', ''), 'hex');
  // On failure the upper has no uuid, like those of older overlays.
  setxattr(upper, '', own.uuid, uuid, UUID_SIZE);
}

interface OpenDir {
  readonly dir: SourceDir;
  readonly root: number;
}

/** The directories of which index=on requires proof that they belong together. */
export interface IndexParties {
  readonly upper: OpenDir;
  /** The top lower. */
  readonly lower: OpenDir;
  readonly indexDir: number;
}

/**
 * The index is keyed by objects of the lowers, so it must not be used with other lowers (ovl_get_indexdir()). Missing marks are
 * set, unless the mount is read-only. Throws a UserError.
 */
export function verifyIndex({ upper, lower, indexDir }: IndexParties, options: OverlayOptions): void {
  const set = !options.readOnly;
  const own = new OwnXattrs(options.userxattr);
  const uuidOf = ({ dir }: OpenDir): Buffer | null => (options.uuid === 'off' ? null : dir.fs.uuid);
  const lowerMark = { on: upper.root, attribute: own.origin, of: lower.root, isUpper: false, set };
  if (!verifyMark(lowerMark, uuidOf(lower))) {
    throw new UserError(
      `upperdir '${upper.dir.path}' was used with index=on over another lowerdir than '${lower.dir.path}'; give the same one, or mount with index=off.`,
    );
  }
  const upperMark = { on: indexDir, attribute: own.upper, of: upper.root, isUpper: true, set };
  if (!verifyMark(upperMark, uuidOf(upper))) {
    throw new UserError(
      `the index of this workdir belongs to another upperdir than '${upper.dir.path}'; choose another workdir, or mount with index=off.`,
    );
  }
}

interface Mark {
  readonly on: number;
  readonly attribute: string;
  readonly of: number;
  readonly isUpper: boolean;
  readonly set: boolean;
}

/** Like ovl_verify_set_fh(): sets a missing mark if it may; returns false when the mark names another directory. */
function verifyMark(mark: Mark, uuid: Buffer | null): boolean {
  const handle = nameToHandle(mark.of, '');
  if (typeof handle === 'number') return true;
  const expected = encodeOrigin(uuid, handle, mark.isUpper);
  const size = getxattr(mark.on, '', mark.attribute, value, value.length);
  if (size > 0) {
    const stored = value.subarray(0, size);
    return decodeOrigin(stored) !== null && stored.equals(expected);
  }
  if (size < 0 && size !== -ENODATA) {
    throw new UserError(
      `the ${mark.attribute} mark can't be read (${errnoName(size)}); mount with index=off.`,
    );
  }
  if (!mark.set) return true;
  const rc = setxattr(mark.on, '', mark.attribute, expected, expected.length);
  if (rc < 0)
    throw new UserError(
      `the ${mark.attribute} mark can't be written (${errnoName(rc)}); mount with index=off.`,
    );
  return true;
}
