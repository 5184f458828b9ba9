/**
 * Owner and mode of an object in an xattr instead of on the object: how fuse-overlayfs and containers/storage keep what an
 * unprivileged user may not set, or a network filesystem can't store. A layer uses one such format or none, as its root shows.
 * Objects without the xattr have their own owner and mode.
 */
import {
  ENODATA,
  errnoName,
  getxattr,
  S_IFBLK,
  S_IFCHR,
  S_IFIFO,
  S_IFSOCK,
  setxattr,
  xattrNames,
} from '../sys/index.js';
import type { OverlayOptions } from './config.js';
import type { SourceDir } from './source-dir.js';
import { UserError } from './user-error.js';

/** Formats by the name of their xattr. The first one that a root has is its layer's, as in fuse-overlayfs. */
export const OVERRIDE_PRIVILEGED = 'security.fuseoverlayfs.override_stat';
export const OVERRIDE_CONTAINERS = 'user.containers.override_stat';
export const OVERRIDE_USER = 'user.fuseoverlayfs.override_stat';
const FORMATS = [OVERRIDE_PRIVILEGED, OVERRIDE_CONTAINERS, OVERRIDE_USER];

const value = Buffer.alloc(64);

/** The format of the layer with this root; null: none. */
export function overrideFormat(root: number): string | null {
  const found = xattrNames(root, '');
  if (typeof found === 'number') return null;
  return FORMATS.find((format) => found.includes(format)) ?? null;
}

/**
 * Applies `xattr_permissions` to upper: its root gets the xattr of the first lower that has it, or `0:0:555`. Throws a UserError.
 */
export function prepareOverride(
  upper: { readonly dir: SourceDir; readonly root: number },
  lowers: readonly number[],
  options: OverlayOptions,
): void {
  if (options.xattrPermissions === 0) return;
  const wanted =
    options.xattrPermissions === 1 ? [OVERRIDE_PRIVILEGED] : [OVERRIDE_CONTAINERS, OVERRIDE_USER];
  for (const format of wanted) {
    const rc = getxattr(upper.root, '', format, value, value.length);
    if (rc >= 0) return;
    if (rc !== -ENODATA) throw refused(upper.dir, format, rc);
  }
  let text = Buffer.from('0:0:555');
  const found = lowers.flatMap((root) =>
    wanted.map((format) => getxattr(root, '', format, value, value.length)),
  );
  const first = found.findIndex((length) => length > 0);
  if (first >= 0) {
    const root = lowers[Math.floor(first / wanted.length)]!;
    const length = getxattr(root, '', wanted[first % wanted.length]!, value, value.length);
    text = Buffer.from(value.subarray(0, Math.max(0, length)));
  }
  const rc = setxattr(upper.root, '', wanted[0]!, text, text.length);
  if (rc < 0) throw refused(upper.dir, wanted[0]!, rc);
}

function refused(dir: SourceDir, format: string, rc: number): UserError {
  return new UserError(
    `upperdir '${dir.path}' can't hold owners in the xattr ${format} (${errnoName(rc)}); choose another filesystem, or leave xattr_permissions out.`,
  );
}

/** The decoded value of such an xattr. */
export interface Override {
  readonly uid: number;
  readonly gid: number;
  /** Permission bits. */
  readonly mode: number;
  /** S_IFMT bits and device number of an object that stands for another type; null: its type is its own. */
  readonly device: { readonly type: number; readonly major: number; readonly minor: number } | null;
}

/**
 * Parses `uid:gid:mode[:type]`, which anybody may have written. null when it is invalid.
 *
 * containers/storage writes `0:0:0640:file`, `dir`, `symlink`, `pipe`, `socket`, `char-1-3`, `block-8-1`, and ignores anything
 * after that; fuse-overlayfs reads `char1:3` and writes no type. `file`, `dir` and `symlink` do not change the object's type: a
 * symlink can't hold user.* xattrs on Linux, and a file that stood for one would have no target.
 */
export function parseOverride(text: string): Override | null {
  const match = /^(\d{1,10}):(\d{1,10}):([0-7]{1,7})(?::(.*))?$/s.exec(text);
  if (match === null) return null;
  const [uid, gid, mode] = [Number(match[1]), Number(match[2]), Number.parseInt(match[3]!, 8)];
  if (uid > 0xffffffff || gid > 0xffffffff) return null;
  const device = parseType(match[4] ?? 'file');
  return device === undefined ? null : { uid, gid, mode: mode & 0o7777, device };
}

/** The type; null: the object's own; undefined: unknown. */
function parseType(text: string): Override['device'] | undefined {
  if (/^(file|dir|symlink)/.test(text)) return null;
  if (text.startsWith('pipe')) return { type: S_IFIFO, major: 0, minor: 0 };
  if (text.startsWith('socket')) return { type: S_IFSOCK, major: 0, minor: 0 };
  const match = /^(char|block)-?(\d{1,10})[-:](\d{1,10})(?![0-9])/.exec(text);
  if (match === null) return undefined;
  const type = match[1] === 'char' ? S_IFCHR : S_IFBLK;
  return { type, major: Number(match[2]), minor: Number(match[3]) };
}
