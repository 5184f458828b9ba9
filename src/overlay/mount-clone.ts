/**
 * Descriptors for layer roots, on private clones of their mounts where that is permitted.
 *
 * A clone (open_tree(2), not recursive) holds no other mounts: `lowerdir=/` shows neither `/proc` nor our own mount point, where
 * a lookup would deadlock, and bind mounts inside a layer show what is beneath them, as in kernel overlayfs. A clone is attached
 * nowhere, pins none of the user's mounts and disappears with its last descriptor.
 *
 * One clone serves all directories of one mount, taken at their deepest common ancestor:
 * - upper and work must share one, since rename(2) between two clones of one mount fails with EXDEV;
 * - each clone costs 50 us to dissolve when the process ends, which 128 lowers should not pay 128 times.
 */

import {
  AT_FDCWD,
  AT_SYMLINK_NOFOLLOW,
  close,
  EPERM,
  MOUNT_ATTR__ATIME,
  MOUNT_ATTR_NOATIME,
  MOUNT_ATTR_NODEV,
  MOUNT_ATTR_NODIRATIME,
  MOUNT_ATTR_RDONLY,
  MS_PRIVATE,
  mountSetattr,
  O_CLOEXEC,
  O_DIRECTORY,
  O_NOFOLLOW,
  O_PATH,
  OPEN_TREE_CLOEXEC,
  OPEN_TREE_CLONE,
  openat,
  openat2,
  openTree,
  RESOLVE_BENEATH,
  RESOLVE_NO_SYMLINKS,
  RESOLVE_NO_XDEV,
} from '../sys/index.js';
import type { Descriptors } from './descriptors.js';
import { isSame, type SourceDir } from './source-dir.js';
import { UserError } from './user-error.js';

const PATH_FLAGS = O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC;
const BENEATH = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_XDEV;

/** An open layer root. */
export interface Root {
  readonly fd: number;
  readonly cloned: boolean;
}

/** How a clone may be used. */
interface Access {
  /** MOUNT_ATTR_RDONLY for lowers, so that the kernel enforces it, too; else 0. */
  readonly readOnly: number;
  /** MOUNT_ATTR_*ATIME. */
  readonly accessTimes: number;
}

/** Lowers keep their access times, like in ovl_get_layers(). */
const READ_ONLY: Access = { readOnly: MOUNT_ATTR_RDONLY, accessTimes: MOUNT_ATTR_NOATIME };

/**
 * Private first of all: a clone of a shared mount would receive every mount made later under the original, ours included.
 * NODEV: callers open devices through the kernel, and we must not open one that has just replaced a file. A user namespace may
 * not change inherited access time settings, hence the second attempt.
 */
function setAttributes(clone: number, { readOnly, accessTimes }: Access): boolean {
  const set = readOnly | MOUNT_ATTR_NODEV;
  const clear = MOUNT_ATTR__ATIME | MOUNT_ATTR_NODIRATIME;
  const rc = mountSetattr(clone, { set: set | accessTimes, clear, propagation: MS_PRIVATE });
  if (rc !== -EPERM) return rc === 0;
  return mountSetattr(clone, { set, clear: 0, propagation: MS_PRIVATE }) === 0;
}

/** Deepest directory that contains (or is) every one of the canonical paths. */
export function commonAncestor(paths: readonly string[]): string {
  const first = paths[0]!;
  let end = first === '/' ? 0 : first.length;
  for (const path of paths) {
    while (end > 0 && !(path.startsWith(first.slice(0, end)) && (path.length === end || path[end] === '/'))) {
      end = first.lastIndexOf('/', end - 1);
    }
  }
  return end <= 0 ? '/' : first.slice(0, end);
}

/** A path below `ancestor`, relative to it; "" for the ancestor itself. */
function below(ancestor: string, path: string): string {
  return ancestor === '/' ? path.slice(1) : path.slice(ancestor.length + 1);
}

/** Opens all of `dirs` (of one mount) on one clone. Returns null, with nothing left open, when that is not possible. */
function openTogether(dirs: readonly SourceDir[], access: Access, held: Descriptors): Root[] | null {
  const ancestor = commonAncestor(dirs.map((dir) => dir.canonical));
  const clone = openTree(AT_FDCWD, ancestor, OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_SYMLINK_NOFOLLOW);
  if (clone < 0) return null;
  const mine = [clone];
  const roots: Root[] = [];
  if (setAttributes(clone, access)) {
    for (const dir of dirs) {
      const path = below(ancestor, dir.canonical);
      const fd = path === '' ? clone : openat2(clone, path, PATH_FLAGS, BENEATH);
      if (fd < 0) break;
      if (fd !== clone) mine.push(fd);
      // Another directory: something is mounted over the path that led to this one, or it was just moved.
      if (!isSame(fd, dir)) break;
      roots.push({ fd, cloned: true });
    }
  }
  if (roots.length < dirs.length) {
    for (const fd of mine) close(fd);
    return null;
  }
  // The clone lives as long as its own descriptor, which is kept even when no root is at its top.
  for (const fd of mine) held.add(fd);
  return roots;
}

/** Opens a directory on the user's own mount. Throws a UserError. */
function openPlain(dir: SourceDir, held: Descriptors): Root {
  // The typed path may lead to the directory even when a later mount hides the canonical one.
  for (const [path, flags] of [
    [dir.canonical, PATH_FLAGS],
    [dir.path, PATH_FLAGS & ~O_NOFOLLOW],
  ] as const) {
    const fd = openat(AT_FDCWD, path, flags);
    if (fd < 0) continue;
    if (isSame(fd, dir)) return { fd: held.add(fd), cloned: false };
    close(fd);
  }
  throw new UserError(
    `${dir.option} '${dir.path}' was moved or replaced while it was being mounted; try again.`,
  );
}

/**
 * Opens upper and work so that rename(2) works between them. For access times the settings of our own mount count, not those of
 * the mount that upper is on, like in ovl_get_upper().
 */
export function openWritable(
  dirs: readonly SourceDir[],
  accessTimes: number,
  held: Descriptors,
): readonly Root[] {
  return openTogether(dirs, { readOnly: 0, accessTimes }, held) ?? dirs.map((dir) => openPlain(dir, held));
}

/** Opens directories that are only read, in the order given. */
export function openReadOnly(dirs: readonly SourceDir[], held: Descriptors): readonly Root[] {
  const byMount = new Map<number, SourceDir[]>();
  for (const dir of dirs) {
    const group = byMount.get(dir.mntId);
    if (group) group.push(dir);
    else byMount.set(dir.mntId, [dir]);
  }
  const found = new Map<SourceDir, Root>();
  for (const group of byMount.values()) {
    const together = openTogether(group, READ_ONLY, held);
    for (const [i, dir] of group.entries()) {
      // In a user namespace an ancestor with mounts that are locked in place can't be cloned.
      const root = together?.[i] ?? openTogether([dir], READ_ONLY, held)?.[0] ?? openPlain(dir, held);
      found.set(dir, root);
    }
  }
  return dirs.map((dir) => found.get(dir)!);
}
