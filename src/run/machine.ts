/** What else is mounted on this machine: a view of its root alone would lack it. */
import { statSync } from 'node:fs';
import { readMounts } from '../overlay/mount-table.js';

/** Filesystems with people's data; the others are the kernel's own, or made anew in the view. */
const DATA = new Set([
  'ext2',
  'ext3',
  'ext4',
  'xfs',
  'btrfs',
  'zfs',
  'f2fs',
  'bcachefs',
  'nfs',
  'nfs4',
  'virtiofs',
  '9p',
  'overlay',
]);
/** Directories that programs expect at their place. */
const EXPECTED = ['/boot', '/etc', '/home', '/opt', '/root', '/srv', '/usr', '/var'];

function isDirectory(path: string): boolean | null {
  return statSync(Buffer.from(path, 'latin1'), { throwIfNoEntry: false })?.isDirectory() ?? null;
}

/** Whether a view of a whole system lacks something without the mount at `point`: `/home`, `/var/lib`, not deeper. */
function isExpected(point: string): boolean {
  return EXPECTED.some(
    (one) => point === one || (point.startsWith(`${one}/`) && point.split('/').length <= 3),
  );
}

/** Mount points of data that the view must have beside the root: the usual ones, and that of `cwd`. Outer ones first. */
export function mountsToCover(cwd: string): string[] {
  const holdsCwd = (point: string): boolean => cwd === point || cwd.startsWith(`${point}/`);
  const points = [...DATA].flatMap((type) => readMounts(type).map(({ point }) => point)).filter(isExpected);
  const around = [...DATA, 'overlay', 'tmpfs'].flatMap((type) => readMounts(type).map(({ point }) => point));
  const wanted = [...new Set([...points, ...around.filter(holdsCwd)])].filter((point) => point !== '/');
  return wanted.filter((point) => isDirectory(point) === true).sort();
}

/** Files that are mounted over files: a container's resolv.conf, hosts and hostname. */
export function filesOver(): string[] {
  const points = readMounts().map(({ point }) => point);
  return [...new Set(points)].filter((point) => point.startsWith('/etc/') && isDirectory(point) === false);
}
