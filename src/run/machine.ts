/** What else is mounted on this machine and would be missing from a view of its root alone. */
import { isUtf8 } from 'node:buffer';
import { statSync } from 'node:fs';
import { readMounts } from '../sys/index.js';

/** Filesystem types that hold data; others belong to the kernel, or are recreated in the view. */
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
/** Directories that programs expect in place. */
const EXPECTED = ['/boot', '/etc', '/home', '/opt', '/root', '/srv', '/usr', '/var'];

/** Mount points of one type, or all, as text; one that is not UTF-8 is left out, since text can't name it. */
function mountPoints(type?: string): string[] {
  const points = readMounts(type).map(({ mountPoint }) => Buffer.from(mountPoint, 'latin1'));
  return points.filter(isUtf8).map((point) => point.toString('utf8'));
}

function isDirectory(path: string): boolean | null {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() ?? null;
}

/** Whether a view of a whole system lacks something without the mount at `point`: `/home`, `/var/lib`, not deeper. */
function isExpected(point: string): boolean {
  return EXPECTED.some(
    (one) => point === one || (point.startsWith(`${one}/`) && point.split('/').length <= 3),
  );
}

/** Mount points that the view needs besides the root: the usual ones, and that of `cwd`. Outer ones first. */
export function mountsToCover(cwd: string): string[] {
  const holdsCwd = (point: string): boolean => cwd === point || cwd.startsWith(`${point}/`);
  const points = [...DATA].flatMap(mountPoints).filter(isExpected);
  const around = [...DATA, 'tmpfs'].flatMap(mountPoints);
  const wanted = [...new Set([...points, ...around.filter(holdsCwd)])].filter((point) => point !== '/');
  return wanted.filter((point) => isDirectory(point) === true).sort();
}

/** Files that are mounted over files: a container's resolv.conf, hosts and hostname. */
export function filesOver(): string[] {
  return [...new Set(mountPoints())].filter(
    (point) => point.startsWith('/etc/') && isDirectory(point) === false,
  );
}
