/** The types of the inode-level interface, which knows neither kernel bytes nor layers. */
import type { Timespec } from '../sys/timespec.js';

declare const brand: unique symbol;

/** Our number for an inode towards the kernel. 1 is the root; never reused while mounted. */
export type NodeId = number & { readonly [brand]: 'NodeId' };
/** Our number for an open file or directory; {@link NO_FH} when the request carries none. */
export type Fh = number & { readonly [brand]: 'Fh' };
/** One path component (or a symlink target): bytes as a latin1 string. */
export type Name = string;

export const ROOT_ID = 1 as NodeId;
/** "No open file": zero-message opens send data requests without one. */
export const NO_FH = 0 as Fh;

/**
 * How file data travels (native-notes/data-modes.md): `cached` answers opens with "never ask again" and serves every READ
 * and WRITE; `passthrough` answers every OPEN and lets the kernel reach the backing file by itself.
 */
export type DataMode = 'cached' | 'passthrough';

/** Who asks. One object, reused for every request: copy what must outlive the call. */
export class Caller {
  uid = 0;
  gid = 0;
  pid = 0;
  /** File creation mask of the caller; meaningful for creating requests only. */
  umask = 0;
}

/** Attributes of a file as the kernel wants them. Reused: a method fills the one it is given. */
export class Attr {
  /** Inode number as two signed 32-bit halves. */
  inoLo = 0;
  inoHi = 0;
  /** Bytes. */
  size = 0;
  /** Units of 512 bytes. */
  blocks = 0;
  /** Seconds since the epoch, may be negative. */
  atime = 0;
  mtime = 0;
  ctime = 0;
  atimeNsec = 0;
  mtimeNsec = 0;
  ctimeNsec = 0;
  /** Birth time; only meaningful when {@link hasBtime}. */
  btime = 0;
  btimeNsec = 0;
  hasBtime = false;
  /** Type and permission bits. */
  mode = 0;
  nlink = 0;
  uid = 0;
  gid = 0;
  /** Device of a character or block special file. */
  rdevMajor = 0;
  rdevMinor = 0;
  blksize = 0;
}

/** What a name leads to: a nodeid (whose lookup count was raised by one) and its attributes. */
export class Entry {
  node: NodeId = 0 as NodeId;
  readonly attr = new Attr();
  /** The kernel may cache the name as long as any; false: it must look the name up each time it is used. */
  keepName = true;
}

/** Which attributes SETATTR changes, and to what. Reused. */
export class SetAttr {
  mode: number | null = null;
  uid: number | null = null;
  gid: number | null = null;
  size: number | null = null;
  /** The size was set by truncate(2), not through an open file. */
  byName = false;
  /** null: leave; `nsec` UTIME_NOW: now. */
  atime: Timespec | null = null;
  mtime: Timespec | null = null;
  /** Clear set-uid, set-gid (if group-executable) and file capabilities: FATTR_KILL_SUIDGID. */
  killSuidGid = false;
}

/** Capacity of the filesystem, in units of `frsize` bytes. */
export class FsStat {
  blocks = 0;
  bfree = 0;
  bavail = 0;
  files = 0;
  ffree = 0;
  bsize = 0;
  frsize = 0;
  namelen = 255;
}

/** How an OPEN or CREATE is answered. Reused; the dispatcher resets it before the call. */
export class OpenReply {
  fh: Fh = NO_FH;
  /** Keep the pages that the kernel has cached for this inode. */
  keepCache = true;
  /** Descriptor of the backing file for passthrough, or -1. The session registers it with the kernel. */
  backingFd = -1;
}

/** Receives directory entries; false from either method means "full": the entry was not taken. */
export interface DirSink {
  /** True when entries are wanted with attributes (READDIRPLUS). */
  readonly plus: boolean;
  /**
   * A bare entry, even in plus mode: the kernel looks the name up when it needs more. `nextOffset` is where a later call
   * continues after this entry; offsets are exact to 2^53.
   */
  add(name: Name, inoLo: number, inoHi: number, dtype: number, nextOffset: number): boolean;
  /** Whether an entry with a name of this length would still fit: asked before paying for the lookup. */
  fits(name: Name): boolean;
  /** An entry with its lookup done. */
  addPlus(name: Name, entry: Entry, dtype: number, nextOffset: number): boolean;
}
