/**
 * The workdir of a mount that writes: `work/`, where objects are built before one rename makes them visible; `index/`,
 * which stays; and `work/incompat/`, which tells other mounts what they must understand. As ovl_workdir_create().
 */

import {
  chmodFd,
  close,
  EACCES,
  EDQUOT,
  ENODATA,
  ENOENT,
  ENOSPC,
  ENOTDIR,
  EOPNOTSUPP,
  EPERM,
  EROFS,
  errnoName,
  fchown,
  fstatx,
  mkdirat,
  mknodat,
  O_PATH,
  readDirectory,
  removexattr,
  S_IFREG,
  Stat,
  unlinkat,
} from '../sys/index.js';
import type { Descriptors } from './descriptors.js';
import { openDir, openForListing, removeContents } from './remove-tree.js';
import { UserError } from './user-error.js';

const WORK = 'work';
const INDEX = 'index';
const INCOMPAT = 'incompat';

const stat = new Stat();

/** A workdir that was opened, and how to treat it. */
export interface WorkBase {
  /** O_PATH descriptor of the workdir that the user named. */
  readonly fd: number;
  readonly path: string;
  /** Mode of the directories made here: 0 as the kernel's, or 0700 for a process that modes bind. */
  readonly mode: number;
}

function failed(base: WorkBase, what: string, rc: number): UserError {
  if (rc === -EROFS) {
    return new UserError(
      `workdir '${base.path}' is on a read-only filesystem; mount without upperdir, or choose a writable place.`,
    );
  }
  if (rc === -ENOSPC || rc === -EDQUOT) {
    return new UserError(
      `workdir '${base.path}': can't ${what}: its filesystem is full (${errnoName(rc)}); make room there, or mount without upperdir.`,
    );
  }
  const why = rc === -EACCES || rc === -EPERM ? 'permission denied' : `the system says ${errnoName(rc)}`;
  return new UserError(
    `workdir '${base.path}': can't ${what}: ${why}; choose a directory that this user may write.`,
  );
}

/** As ovl_workdir_cleanup_recurse(): whatever is marked in `work/incompat` forbids to mount. */
function checkIncompat(base: WorkBase, work: number): void {
  const fd = openForListing(work, INCOMPAT);
  if (fd === -ENOENT || fd === -ENOTDIR) return;
  if (fd < 0) throw failed(base, `read ${WORK}/${INCOMPAT}`, fd);
  const entries = readDirectory(fd);
  close(fd);
  if (typeof entries === 'number') throw failed(base, `read ${WORK}/${INCOMPAT}`, entries);
  const feature = entries[0]?.name;
  if (feature === undefined) return;
  const mark = `${base.path}/${WORK}/${INCOMPAT}`;
  if (feature !== 'volatile') {
    throw new UserError(
      `workdir '${base.path}' was used with a feature '${feature}' that is unknown here (${mark}).`,
    );
  }
  throw new UserError(
    `workdir '${base.path}' belongs to a volatile mount that may have lost data; start with a new upperdir and workdir, or remove '${mark}' if you accept that.`,
  );
}

/**
 * Clears what a crash left in `work`, and nothing else of the user's. Returns whether `work` is there, empty: that one
 * is used again, since to remove it may wait for the journal (0.4 ms, and more on a busy disk).
 */
function clearWork(base: WorkBase): boolean {
  const fd = openForListing(base.fd, WORK);
  if (fd === -ENOENT) return false;
  if (fd < 0) {
    // Not a directory, or one that is mounted: the first can go.
    const rc = unlinkat(base.fd, WORK);
    if (rc < 0) throw failed(base, `replace '${WORK}'`, fd);
    return false;
  }
  try {
    checkIncompat(base, fd);
    const failure = removeContents(fd);
    if (failure < 0) throw failed(base, `clear the leftovers in '${WORK}'`, failure);
    return true;
  } finally {
    close(fd);
  }
}

/** Makes a directory in the workdir, or uses one that is there. Returns an O_PATH descriptor. */
function makeDir(base: WorkBase, name: string, found: boolean): number {
  const made = found ? 0 : mkdirat(base.fd, name, base.mode);
  if (made < 0) throw failed(base, `create '${name}'`, made);
  const fd = openDir(base.fd, name, O_PATH);
  if (fd < 0) throw failed(base, `open '${name}'`, fd);
  const taken = takeOver(fd);
  const rc = taken < 0 ? taken : plain(fd, base.mode);
  if (rc < 0) {
    close(fd);
    throw failed(base, `prepare '${name}'`, rc);
  }
  return fd;
}

/** Makes a directory that was found our own: its owner could change under our hands what is built in it. Returns 0 or -errno. */
function takeOver(fd: number): number {
  const rc = fstatx(fd, stat);
  if (rc < 0 || stat.uid === process.geteuid!()) return rc;
  return fchown(fd, process.geteuid!(), process.getegid!());
}

/** Takes from a directory what it inherited (ACLs, set-gid): what is built in it would inherit it again. */
function plain(fd: number, mode: number): number {
  for (const acl of ['system.posix_acl_default', 'system.posix_acl_access']) {
    const rc = removexattr(fd, '', acl);
    if (rc < 0 && rc !== -ENODATA && rc !== -EOPNOTSUPP) return rc;
  }
  const rc = fstatx(fd, stat);
  if (rc < 0 || (stat.mode & 0o7777) === mode) return rc;
  return chmodFd(fd, mode);
}

/** An empty `work`. Throws a {@link UserError} when leftovers must not or can't be cleared. */
export function openWork(base: WorkBase, held: Descriptors): number {
  return held.add(makeDir(base, WORK, clearWork(base)));
}

/** The `index` of link-index.ts, which outlives the mount. */
export function openIndex(base: WorkBase, held: Descriptors): number {
  const fd = openDir(base.fd, INDEX, O_PATH);
  if (fd >= 0) {
    held.add(fd);
    const rc = takeOver(fd);
    if (rc < 0) throw failed(base, `prepare '${INDEX}'`, rc);
    return fd;
  }
  if (fd !== -ENOENT) throw failed(base, `open '${INDEX}'`, fd);
  return held.add(makeDir(base, INDEX, false));
}

/** The same for a mount that does not write; -1 when there is none. */
export function findIndex(workdir: number, held: Descriptors): number {
  const fd = openDir(workdir, INDEX, O_PATH);
  return fd < 0 ? -1 : held.add(fd);
}

/** Leaves `work/incompat/volatile/dirty`: nothing on upper is known to be on disk until somebody removes it. */
export function markVolatile(base: WorkBase, work: number): void {
  let parent = work;
  const mine: number[] = [];
  try {
    for (const name of [INCOMPAT, 'volatile']) {
      let rc = mkdirat(parent, name, base.mode);
      if (rc >= 0) rc = openDir(parent, name, O_PATH);
      if (rc < 0) throw failed(base, `create '${WORK}/${INCOMPAT}'`, rc);
      parent = rc;
      mine.push(rc);
    }
    const rc = mknodat(parent, 'dirty', S_IFREG);
    if (rc < 0) throw failed(base, `create '${WORK}/${INCOMPAT}/volatile/dirty'`, rc);
  } finally {
    for (const fd of mine) close(fd);
  }
}
