/** The mounts that this process sees, for what only they can tell about layers. */

import { AT_FDCWD, close, O_CLOEXEC, O_RDONLY, openat, read, Stat, statxFollow } from '../sys/index.js';
import type { SourceDir } from './source-dir.js';
import { UserError } from './user-error.js';

/** Text of a file in /proc, latin1; "" when it can't be read. One read(2) mostly: this is part of every mount. */
function readProc(path: string): string {
  const fd = openat(AT_FDCWD, path, O_RDONLY | O_CLOEXEC);
  if (fd < 0) return '';
  const chunk = Buffer.allocUnsafe(64 * 1024);
  let text = '';
  for (let size = read(fd, chunk, chunk.length); size > 0; size = read(fd, chunk, chunk.length)) {
    text += chunk.latin1Slice(0, size);
  }
  close(fd);
  return text;
}

/** A line of /proc/self/mountinfo, as far as it matters here. */
interface MountLine {
  readonly id: number;
  /** What the mount shows: a path within its filesystem. */
  readonly root: string;
  readonly point: string;
  readonly superOptions: string;
}

/** A field of /proc/self/mountinfo, or an option in one: spaces, commas and the like stand there as `\040`. */
export function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** The mounts that this process sees, of one type or of all. Fields are latin1. */
export function readMounts(type?: string): MountLine[] {
  const mounts: MountLine[] = [];
  const text = readProc('/proc/self/mountinfo');
  if (type !== undefined && !text.includes(` - ${type} `)) return mounts;
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    const dash = fields.indexOf('-', 6);
    if (dash < 0 || (type !== undefined && fields[dash + 1] !== type)) continue;
    mounts.push({
      id: Number(fields[0]),
      root: unescapeOctal(fields[3]!),
      point: unescapeOctal(fields[4]!),
      superOptions: fields[dash + 3] ?? '',
    });
  }
  return mounts;
}

const stat = new Stat();

/** Whether an upperdir or workdir of a kernel mount, as its options show it, is the directory `dir`. */
function names(shown: string, dir: SourceDir): boolean {
  const path = unescapeOctal(shown).replace(/\\(.)/g, '$1');
  if (path === dir.canonical || path === dir.path) return true;
  // Only paths that could be the same directory are looked at: a stale mount elsewhere must not stop us.
  if (path.slice(path.lastIndexOf('/')) !== dir.canonical.slice(dir.canonical.lastIndexOf('/'))) return false;
  return (
    path.startsWith('/') &&
    statxFollow(AT_FDCWD, path, stat) === 0 &&
    stat.inoLo === dir.inoLo &&
    stat.inoHi === dir.inoHi &&
    stat.devMajor === dir.fs.devMajor &&
    stat.devMinor === dir.fs.devMinor
  );
}

/**
 * Refuses an upper or work that a kernel overlay mount is using. Its own mark on the directory can't be read from
 * outside, so this looks at the mounts that this process sees; other mounts of plyfs are found by their lock.
 */
export function checkKernelMounts(upper: SourceDir, work: SourceDir): void {
  for (const mount of readMounts('overlay')) {
    for (const option of mount.superOptions.split(',')) {
      const [key, ...value] = option.split('=');
      if (key !== 'upperdir' && key !== 'workdir') continue;
      const dir = [upper, work].find((candidate) => names(value.join('='), candidate));
      if (dir) {
        throw new UserError(
          `${dir.option} '${dir.path}' is in use by the overlay mounted on '${mount.point}'; unmount that first, or choose another directory.`,
        );
      }
    }
  }
}
