/** Cleaning the index directory when mounting: removes what a crash or a change of layers left in it (ovl_indexdir_cleanup()). */

import {
  AT_REMOVEDIR,
  close,
  EINVAL,
  EISDIR,
  ENODATA,
  ENOENT,
  ESTALE,
  errnoName,
  getxattr,
  O_CLOEXEC,
  O_DIRECTORY,
  O_RDONLY,
  openat,
  readDirectory,
  S_IFDIR,
  S_IFMT,
  Stat,
  statx,
  unlinkat,
} from '../sys/index.js';
import type { Layer } from './config.js';
import { decodeNlink, NLINK_MAX } from './nlink-xattr.js';
import { decodeOrigin, type Origin, originBlobError } from './origin.js';
import { statOrigin } from './origin-ino.js';
import type { OwnXattrs } from './own-xattrs.js';
import { UserError } from './user-error.js';

const entry = new Stat();
const lower = new Stat();
const value = Buffer.alloc(256);

/** What the entries are checked against. */
export interface IndexOwner {
  readonly indexDir: number;
  readonly layers: readonly Layer[];
  readonly own: OwnXattrs;
  /** Path of the workdir, for messages. */
  readonly path: string;
}

/** Removes stale and orphaned entries. Throws a {@link UserError} for one that was not made by any overlay known here. */
export function cleanIndex(owner: IndexOwner): void {
  const fd = openat(owner.indexDir, '.', O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const entries = fd < 0 ? fd : readDirectory(fd);
  if (fd >= 0) close(fd);
  if (typeof entries === 'number') throw failed(owner, 'read', entries);
  for (const { name } of entries) {
    const rc = name.startsWith('#') ? -ENOENT : verify(owner, name);
    if (rc === 0) continue;
    if (rc !== -ESTALE && rc !== -ENOENT) throw failed(owner, `understand '${name}' in`, rc);
    const removed = remove(owner.indexDir, name);
    if (removed < 0 && removed !== -ENOENT) throw failed(owner, `remove '${name}' from`, removed);
  }
}

function failed(owner: IndexOwner, what: string, rc: number): UserError {
  return new UserError(
    `can't ${what} the index of workdir '${owner.path}' (${errnoName(rc)}); mount with index=off, or with a new workdir.`,
  );
}

/** Entries are files, or empty directories. */
function remove(indexDir: number, name: string): number {
  const rc = unlinkat(indexDir, name);
  return rc === -EISDIR ? unlinkat(indexDir, name, AT_REMOVEDIR) : rc;
}

/** Like ovl_verify_index(): 0 keeps the entry, -ESTALE and -ENOENT remove it, anything else prevents the mount. */
function verify(owner: IndexOwner, name: string): number {
  const { indexDir } = owner;
  // Either case: hex2bin() accepts both.
  if (!/^([0-9a-fA-F]{2}){21,}$/.test(name.slice(0, name.length & ~1))) return -EINVAL;
  const blob = Buffer.from(name.slice(0, name.length & ~1), 'hex');
  const bad = originBlobError(blob);
  if (bad !== 0) return bad;
  const rc = statx(indexDir, name, entry);
  if (rc < 0) return rc;
  // A whiteout stands for an exported file that is gone, a directory for an indexed one (nfs_export).
  if (entry.isWhiteout || (entry.mode & S_IFMT) === S_IFDIR) return 0;
  const size = getxattr(indexDir, name, owner.own.origin, value, value.length);
  if (size < 0) return size;
  if (size === 0) return -ENODATA;
  if (!value.subarray(0, size).equals(blob)) return -ESTALE;
  return entry.nlink > 1 ? 0 : verifyOrphan(owner, name, decodeOrigin(blob));
}

/** An entry that is the only name of its file: kept while lower names that are not covered lead to it. */
function verifyOrphan(owner: IndexOwner, name: string, origin: Origin | null): number {
  if (origin === null || statOrigin(owner.layers, origin, lower) === null) return -ESTALE;
  if ((lower.mode & S_IFMT) !== (entry.mode & S_IFMT)) return -ESTALE;
  if (lower.nlink === 1) return -ENOENT;
  const size = getxattr(owner.indexDir, name, owner.own.nlink, value, NLINK_MAX);
  const text = size < 0 ? '' : value.latin1Slice(0, size);
  return decodeNlink(text, entry.nlink, lower.nlink) > 0 ? 0 : -ENOENT;
}
