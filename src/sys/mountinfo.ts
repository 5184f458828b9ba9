/** /proc/self/mountinfo: the mounts that this process sees. */
import { AT_FDCWD, O_CLOEXEC, O_RDONLY } from './consts.js';
import { close, openat, read } from './file.js';

/** One line of mountinfo; text is latin1, one char a byte. */
export interface MountInfo {
  readonly id: number;
  /** `major:minor`; for FUSE the minor is the connection's number under /sys/fs/fuse/connections. */
  readonly device: string;
  /** The root of the mount, as a path within its filesystem. */
  readonly root: string;
  readonly mountPoint: string;
  /** Options of this mount, comma-separated: `rw,nosuid,relatime`. */
  readonly options: string;
  readonly fsType: string;
  readonly source: string;
  /** Options of the filesystem, comma-separated and raw: split first, then decode each with {@link unescapeOctal}. */
  readonly superOptions: string;
}

/** Decodes a field of mountinfo, or an option in one, in which spaces, commas and the like are written as `\040`. */
export function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/** The whole text; "" when it can't be read. Usually one read(2), since every mount does this. */
function readAll(): string {
  const fd = openat(AT_FDCWD, '/proc/self/mountinfo', O_RDONLY | O_CLOEXEC);
  if (fd < 0) return '';
  const chunk = Buffer.allocUnsafe(64 * 1024);
  let text = '';
  for (let size = read(fd, chunk, chunk.length); size > 0; size = read(fd, chunk, chunk.length)) {
    text += chunk.latin1Slice(0, size);
  }
  close(fd);
  return text;
}

function parseLine(line: string): MountInfo | null {
  // 36 35 98:0 /root /mount/point options [optional fields] - type source superoptions
  const fields = line.split(' ');
  const dash = fields.indexOf('-', 6);
  if (dash < 0) return null;
  return {
    id: Number(fields[0]),
    device: fields[2]!,
    root: unescapeOctal(fields[3]!),
    mountPoint: unescapeOctal(fields[4]!),
    options: fields[5]!,
    fsType: fields[dash + 1]!,
    source: unescapeOctal(fields[dash + 2] ?? ''),
    superOptions: fields[dash + 3] ?? '',
  };
}

/** All mounts of this namespace, oldest first, or those of one type. */
export function readMounts(type?: string): MountInfo[] {
  const text = readAll();
  if (type !== undefined && !text.includes(` - ${type} `)) return [];
  const mounts = text.split('\n').flatMap((line) => parseLine(line) ?? []);
  return type === undefined ? mounts : mounts.filter(({ fsType }) => fsType === type);
}

/** The mount that is visible at `mountPoint`, the last one there; null: none. */
export function mountAt(mountPoint: string): MountInfo | null {
  return readMounts().findLast((m) => m.mountPoint === mountPoint) ?? null;
}
