/** /proc/self/mountinfo. */
import { readFileSync } from 'node:fs';

/** One line of mountinfo; text is latin1, one char a byte. */
export interface MountInfo {
  /** `major:minor`; for FUSE the minor is the connection's number under /sys/fs/fuse/connections. */
  readonly device: string;
  readonly mountPoint: string;
  readonly fsType: string;
  readonly source: string;
}

function unescapeField(field: string): string {
  return field.replace(/\\([0-7]{3})/g, (_, octal: string) => String.fromCharCode(Number.parseInt(octal, 8)));
}

function parseLine(line: string): MountInfo | null {
  // 36 35 98:0 /root /mount/point options [optional fields] - type source superoptions
  const fields = line.split(' ');
  const dash = fields.indexOf('-', 6);
  if (dash < 0) return null;
  return {
    device: fields[2]!,
    mountPoint: unescapeField(fields[4]!),
    fsType: fields[dash + 1]!,
    source: unescapeField(fields[dash + 2] ?? ''),
  };
}

/** All mounts of this namespace, oldest first. */
export function readMounts(): MountInfo[] {
  const text = readFileSync('/proc/self/mountinfo', 'latin1');
  return text.split('\n').flatMap((line) => parseLine(line) ?? []);
}

/** The mount that is visible at `mountPoint`: the last one there. */
export function mountAt(mountPoint: string): MountInfo | null {
  return readMounts().findLast((m) => m.mountPoint === mountPoint) ?? null;
}
