/** The filesystems of the layers: their numbers, and which share inode numbers and file handles. */

import {
  close,
  EPERM,
  nameToHandle,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  openat,
  openByHandle,
} from '../sys/index.js';
import type { OverlayOptions } from './config.js';
import type { Descriptors } from './descriptors.js';
import type { Sources } from './layer-checks.js';
import type { Root } from './mount-clone.js';
import type { Filesystem, SourceDir } from './source-dir.js';

/** Numbers as assigned by ovl_get_fsid(): 0 is reserved for the upper's, even when there is no upper. */
export function numberFilesystems(sources: Sources): Map<Filesystem, number> {
  const numbers = new Map<Filesystem, number>();
  if (sources.upper) numbers.set(sources.upper.fs, 0);
  let next = 1;
  for (const dir of sources.lowers) {
    if (!numbers.has(dir.fs)) numbers.set(dir.fs, next++);
  }
  return numbers;
}

/**
 * The filesystems in which an origin may be looked up by its uuid, like ovl_lower_uuid_ok(): the uuid must belong to a single
 * filesystem, and "no uuid" proves nothing if lowers may have been changed offline, which plain mounts allow.
 */
export function originFilesystems(sources: Sources, options: OverlayOptions): Set<Filesystem> {
  const strict = options.index || options.metacopy || options.redirectDir === 'on' || options.xino === 'on';
  const okay = new Set<Filesystem>();
  const owners = new Map<string, Filesystem>();
  for (const { fs, option } of sources.lowers) {
    // Data-only layers are reached by redirects alone.
    if (option === 'datadir' || okay.has(fs) || fs.handles === 'none') continue;
    const key = fs.uuid?.toString('hex') ?? '';
    const other = owners.get(key);
    // The upper's own filesystem is recognised without a uuid.
    const isUppers = fs === sources.upper?.fs;
    if (isUppers || (other === undefined && (fs.uuid !== null || strict))) okay.add(fs);
    else if (other !== undefined && fs.subvolume && other.subvolume) okay.add(fs);
    else if (other !== undefined && other !== sources.upper?.fs) okay.delete(other);
    if (other === undefined) owners.set(key, fs);
  }
  return okay;
}

/**
 * Bits above inode numbers that carry the filesystem's number. As ovl_fill_super() and ovl_get_layers(): 32 when every
 * filesystem is known to have 32-bit inode numbers, else as few as the count needs. Unlike there, xino=auto stays on
 * where a filesystem has no uuid: see DEFAULTS in option-table.ts.
 */
export function xinoBits(sources: Sources, xino: OverlayOptions['xino']): number {
  const merged = [sources.upper, ...sources.lowers].filter((dir) => dir !== null && dir.option !== 'datadir');
  const filesystems = new Set(merged.map((dir) => dir!.fs));
  if (filesystems.size === 1) return 0;
  if (xino === 'off') return -1;
  if ([...filesystems].every((fs) => fs.handles === 'ino32')) return 32;
  const highest = filesystems.size - (sources.upper ? 1 : 0);
  return Math.floor(Math.log2(highest)) + 2;
}

/**
 * A descriptor for open_by_handle_at(2) on each filesystem, on a lower's read-only clone where there is one. Empty when this
 * process may not open by handle, which is determined by trying.
 */
export function openHandleFds(
  dirs: readonly (readonly [SourceDir, Root])[],
  held: Descriptors,
): Map<Filesystem, number> {
  const fds = new Map<Filesystem, number>();
  for (const [dir, root] of dirs) {
    if (dir.fs.handles === 'none' || fds.has(dir.fs)) continue;
    const fd = openat(root.fd, '.', O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) continue;
    const handle = nameToHandle(root.fd, '');
    const again = typeof handle === 'number' ? handle : openByHandle(fd, handle, O_PATH | O_CLOEXEC);
    if (again < 0) {
      close(fd);
      if (again === -EPERM) break;
      continue;
    }
    close(again);
    fds.set(dir.fs, held.add(fd));
  }
  return fds;
}
