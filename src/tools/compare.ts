/** How one object of the merged view differs from the one that the lower layers show. */
import type { Inode } from '../overlay/inode.js';
import { UserError } from '../overlay/user-error.js';
import * as sys from '../sys/index.js';
import { quoted } from './text.js';
import type { View } from './view.js';

/** What can differ. */
export type Difference =
  | 'content'
  | 'mode'
  | 'owner'
  | 'mtime'
  | 'xattrs'
  | 'target'
  | 'device'
  /** A lower was not given, so nothing could be compared. */
  | 'unknown';

/** Everything about an object but its data. */
export interface Facts {
  readonly mode: number;
  readonly uid: number;
  readonly gid: number;
  readonly size: number;
  readonly mtime: number;
  readonly mtimeNsec: number;
  readonly rdev: string;
}

/** Copies the {@link Facts} out of attributes that will be overwritten. */
export function factsOf(stat: sys.Stat): Facts {
  return {
    mode: stat.mode,
    uid: stat.uid,
    gid: stat.gid,
    size: stat.size,
    mtime: stat.mtime,
    mtimeNsec: stat.mtimeNsec,
    rdev: `${stat.rdevMajor}:${stat.rdevMinor}`,
  };
}

/** An object on one side of a comparison. */
export interface Side {
  readonly view: View;
  readonly inode: Inode;
  readonly path: string;
  readonly facts: Facts;
}

const CHUNK = 1 << 20;
const left = Buffer.allocUnsafe(CHUNK);
const right = Buffer.allocUnsafe(CHUNK);

function fill(side: Side, fd: number, into: Buffer, at: number): number {
  const got = sys.preadAll(fd, into, at);
  if (got < 0) throw new UserError(`'/${quoted(side.path)}' can't be read: ${sys.errnoName(got)}.`);
  return got;
}

function sameData(a: Side, b: Side): boolean {
  if (a.facts.size !== b.facts.size) return false;
  // Each view keeps its descriptor open until it opens another one.
  const fdA = a.view.data(a.inode, a.path);
  const fdB = b.view.data(b.inode, b.path);
  for (let at = 0; at < a.facts.size; at += CHUNK) {
    const n = fill(a, fdA, left, at);
    if (n !== fill(b, fdB, right, at) || left.compare(right, 0, n, 0, n) !== 0) return false;
    if (n === 0) break;
  }
  return true;
}

function sameXattrs(a: Side, b: Side): boolean {
  const ours = a.view.xattrs(a.inode);
  const theirs = b.view.xattrs(b.inode);
  if (ours.size !== theirs.size) return false;
  for (const [name, value] of ours) if (!theirs.get(name)?.equals(value)) return false;
  return true;
}

/** All differences between two objects of one type; `now` is on top of `before`. */
export function compare(now: Side, before: Side): Difference[] {
  const differences: Difference[] = [];
  const [a, b] = [now.facts, before.facts];
  const type = a.mode & sys.S_IFMT;
  // A metacopy on top has no data of its own, so it shows that of the lower.
  if (type === sys.S_IFREG && now.inode.data === null && !sameData(now, before)) differences.push('content');
  if (
    type === sys.S_IFLNK &&
    now.view.target(now.inode, now.path) !== before.view.target(before.inode, before.path)
  )
    differences.push('target');
  if ((type === sys.S_IFCHR || type === sys.S_IFBLK) && a.rdev !== b.rdev) differences.push('device');
  if (((a.mode ^ b.mode) & 0o7777) !== 0) differences.push('mode');
  if (a.uid !== b.uid || a.gid !== b.gid) differences.push('owner');
  // A directory's mtime changes with every name in it, so it carries no information of its own.
  if (type !== sys.S_IFDIR && (a.mtime !== b.mtime || a.mtimeNsec !== b.mtimeNsec)) differences.push('mtime');
  if (!sameXattrs(now, before)) differences.push('xattrs');
  return differences;
}

/** A file's whole data; null when it is larger than `limit`. */
export function dataOf(side: Side, limit: number): Buffer | null {
  if (side.facts.size > limit) return null;
  const into = Buffer.alloc(side.facts.size);
  return into.subarray(0, fill(side, side.view.data(side.inode, side.path), into, 0));
}
