/** Names and numbers between bytes, people and JSON. */
import { UserError } from '../overlay/user-error.js';
import * as sys from '../sys/index.js';

/** A path as given to the tools: text, or bytes. */
export type PathLike = string | Buffer;

/** A path in internal form: latin1, one char a byte. Throws a UserError for an empty one. */
export function pathBytes(path: PathLike): string {
  const bytes = typeof path === 'string' ? Buffer.from(path, 'utf8') : path;
  if (bytes.length === 0) throw new UserError('a path is empty.');
  return bytes.latin1Slice();
}

/** Order of names by their bytes. */
export function byBytes(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}

const strict = new TextDecoder('utf-8', { fatal: true });
// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what must not reach a terminal
const CONTROL = /[\u0000-\u001f\u007f-\u009f]/g;

function hex(char: string): string {
  return `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`;
}

/** Bytes of a layer as text that is safe to print: control characters, and bytes that are not UTF-8, as `\xNN`. */
export function shown(bytes: string): string {
  try {
    return strict.decode(Buffer.from(bytes, 'latin1')).replace(CONTROL, hex);
  } catch {
    // Not UTF-8: all of its upper half is escaped.
    return bytes.replace(CONTROL, hex).replace(/[\u0080-\u00ff]/g, hex);
  }
}

/** The same for an error message, which keeps the bytes of names but control characters. */
export function quoted(bytes: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: as above
  return bytes.replace(/[\u0000-\u001f\u007f]/g, hex);
}

const UNITS = ['KiB', 'MiB', 'GiB', 'TiB', 'PiB'];

/** A size for people: `512 B`, `4.2 MiB`. */
export function sizeText(bytes: number): string {
  let size = bytes;
  let unit = 'B';
  for (const next of UNITS) {
    if (Math.abs(size) < 1024) break;
    size /= 1024;
    unit = next;
  }
  return unit === 'B' ? `${size} B` : `${size.toFixed(1)} ${unit}`;
}

/** Rows as aligned columns; `right`: columns with numbers. */
export function columns(rows: readonly (readonly string[])[], right: readonly number[] = []): string {
  const widths: number[] = [];
  for (const row of rows) {
    for (const [i, cell] of row.entries()) widths[i] = Math.max(widths[i] ?? 0, cell.length);
  }
  const line = (row: readonly string[]): string =>
    row
      .map((cell, i) => (right.includes(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
      .join('  ')
      .trimEnd();
  return rows.map((row) => `${line(row)}\n`).join('');
}

const REASONS: Readonly<Record<number, string>> = {
  [sys.ENOENT]: 'it does not exist',
  [sys.ENOTDIR]: 'it, or a part of its path, is not a directory',
  [sys.EACCES]: 'permission denied',
  [sys.EPERM]: 'this user may not do that',
  [sys.ELOOP]: 'a symbolic link is in the way',
  [sys.ENOSPC]: 'no space is left on the filesystem',
  [sys.EROFS]: 'the filesystem is read-only',
  [sys.EEXIST]: 'it exists already',
  [sys.EISDIR]: 'it is a directory',
  [sys.ENOTCONN]: 'the server of this mount is gone; take it away with plyfs umount',
  [sys.EOPNOTSUPP]: "the filesystem can't hold it",
};

/** Why a system call failed, as part of a sentence; `rc` is its -errno. */
export function reasonOf(rc: number): string {
  return REASONS[-rc] ?? `the system says ${sys.errnoName(rc)}`;
}

/** Returns a system call's result, or throws a {@link UserError} that says what could not be done to `path`. */
export function check(rc: number, what: string, path: string): number {
  if (rc >= 0) return rc;
  if (path === '') throw new UserError(`can't ${what} '': a path is empty.`);
  throw new UserError(`can't ${what} '${quoted(path)}': ${reasonOf(rc)}.`);
}

/** The same for a call of Node's libraries, which throws. `path` is latin1. */
export function tried<T>(what: string, path: string, action: () => T): T {
  try {
    return action();
  } catch (error) {
    if (!(error instanceof Error && 'errno' in error && typeof error.errno === 'number')) throw error;
    check(error.errno, what, path);
    throw error;
  }
}

const TYPE_NAMES: Readonly<Record<number, ObjectType>> = {
  [sys.S_IFREG]: 'file',
  [sys.S_IFDIR]: 'directory',
  [sys.S_IFLNK]: 'symlink',
  [sys.S_IFCHR]: 'character device',
  [sys.S_IFBLK]: 'block device',
  [sys.S_IFIFO]: 'fifo',
  [sys.S_IFSOCK]: 'socket',
};

/** What an object is. */
export type ObjectType =
  | 'file'
  | 'directory'
  | 'symlink'
  | 'character device'
  | 'block device'
  | 'fifo'
  | 'socket'
  | 'unknown';

/** The type in a mode, for people. */
export function typeName(mode: number): ObjectType {
  return TYPE_NAMES[mode & sys.S_IFMT] ?? 'unknown';
}
