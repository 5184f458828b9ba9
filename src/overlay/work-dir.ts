/**
 * The workdir of a writable mount: `work/`, where objects are built before one rename makes them visible; `index/`, which persists;
 * and `work/incompat/`, which names features that other mounts must understand. See ovl_workdir_create().
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

/** An open workdir. */
export interface WorkBase {
  /** O_PATH descriptor of the workdir that the user named. */
  readonly fd: number;
  readonly path: string;
  /** Mode of the directories created here: 0 like the kernel's, or 0700 for a process without CAP_DAC_OVERRIDE. */
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

/** Like ovl_workdir_cleanup_recurse(): any mark in `work/incompat` prevents the mount. Throws a UserError. */
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
 * Removes what a crash left in `work`, and nothing else. Returns whether `work` exists, empty: it is reused, since removing it may
 * wait for the journal (0.4 ms, more on a busy disk). Throws a UserError.
 */
function clearWork(base: WorkBase): boolean {
  const fd = openForListing(base.fd, WORK);
  if (fd === -ENOENT) return false;
  if (fd < 0) {
    // Not a directory, which can be removed, or a mount point, which can't.
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

/** Creates a directory in the workdir, or uses the one `found` there. Returns an O_PATH descriptor. Throws a UserError. */
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

/** Takes ownership of an existing directory: another owner could change what is being built in it. Returns 0 or -errno. */
function takeOver(fd: number): number {
  const rc = fstatx(fd, stat);
  if (rc < 0 || stat.uid === process.geteuid!()) return rc;
  return fchown(fd, process.geteuid!(), process.getegid!());
}

/** Removes what a directory inherited (ACLs, set-gid), so that objects built in it do not inherit it. Returns 0 or -errno. */
function plain(fd: number, mode: number): number {
  for (const acl of ['system.posix_acl_default', 'system.posix_acl_access']) {
    const rc = removexattr(fd, '', acl);
    if (rc < 0 && rc !== -ENODATA && rc !== -EOPNOTSUPP) return rc;
  }
  const rc = fstatx(fd, stat);
  if (rc < 0 || (stat.mode & 0o7777) === mode) return rc;
  return chmodFd(fd, mode);
}

/** Opens an empty `work`. Throws a {@link UserError} when leftovers must not, or can't, be removed. */
export function openWork(base: WorkBase, held: Descriptors): number {
  return held.add(makeDir(base, WORK, clearWork(base)));
}

/** Opens the `index` of link-index.ts, which outlives the mount. Throws a UserError. */
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

/** The same for a read-only mount; -1 when there is none. */
export function findIndex(workdir: number, held: Descriptors): number {
  const fd = openDir(workdir, INDEX, O_PATH);
  return fd < 0 ? -1 : held.add(fd);
}

/**
 * Creates `work/incompat/volatile/dirty`: until somebody removes it, nothing on upper is known to be on disk. Throws a UserError.
 */
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
