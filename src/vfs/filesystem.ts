/** The interface between a transport (kernel protocol or libfuse2) and a filesystem. */
import type { Attr, Caller, DirSink, Entry, Fh, FsStat, Name, NodeId, OpenReply, SetAttr } from './types.js';

/**
 * A filesystem by inodes. All methods are synchronous and run on one thread, one at a time.
 *
 * Failures are thrown: `FsError` for an errno, `Deferred` for work that continues elsewhere (see errors.ts).
 * Results are written into objects that the caller owns and reuses.
 *
 * Lookup counts: every filled {@link Entry} raises the node's count by one; {@link forget} lowers it. The
 * transport undoes a lookup whose reply it could not deliver.
 *
 * Unknown nodeids fail with ESTALE.
 */
export interface FileSystem {
  /** Finds `name`. Returns false when there is no such name: a negative entry. */
  lookup(parent: NodeId, name: Name, caller: Caller, out: Entry): boolean;
  /** The kernel gives back `nlookup` references. Never fails; unknown nodes are ignored. */
  forget(node: NodeId, nlookup: number): void;

  getattr(node: NodeId, fh: Fh, out: Attr): void;
  /** Applies `change`, then fills `out`. EROFS without an upper. */
  setattr(node: NodeId, change: SetAttr, caller: Caller, out: Attr): void;
  /** Target of a symlink as latin1 text. EINVAL for anything else. */
  readlink(node: NodeId): string;

  /** Creates a file, device, socket or fifo; `mode` includes the type. EEXIST, EPERM (a device 0:0), EROFS. */
  mknod(parent: NodeId, name: Name, mode: number, rdev: Rdev, caller: Caller, out: Entry): void;
  mkdir(parent: NodeId, name: Name, mode: number, caller: Caller, out: Entry): void;
  symlink(parent: NodeId, name: Name, target: string, caller: Caller, out: Entry): void;
  /** EISDIR for a directory. */
  unlink(parent: NodeId, name: Name): void;
  /** ENOTDIR, ENOTEMPTY. */
  rmdir(parent: NodeId, name: Name): void;
  /** `flags`: RENAME_NOREPLACE or RENAME_EXCHANGE; anything else EINVAL. EXDEV for a directory with a lower part. */
  rename(from: Place, to: Place, flags: number): void;
  /** A further name for `node`. EPERM for a directory. */
  link(node: NodeId, parent: NodeId, name: Name, out: Entry): void;

  /** Opens a file (never called under zero-message opens). `flags` are O_*. */
  open(node: NodeId, flags: number, caller: Caller, out: OpenReply): void;
  /** Creates and opens. If the name exists, it is opened as with O_CREAT (EEXIST with O_EXCL). */
  create(parent: NodeId, name: Name, mode: CreateMode, caller: Caller, out: Entry, open: OpenReply): void;
  /** An unnamed file in `parent` (O_TMPFILE); `link` may name it later. */
  tmpfile(parent: NodeId, mode: CreateMode, caller: Caller, out: Entry, open: OpenReply): void;
  release(node: NodeId, fh: Fh): void;

  /** Reads into the start of `into`. Returns bytes read; short only at the end of the file. */
  read(node: NodeId, fh: Fh, offset: number, into: Uint8Array, size: number): number;
  /**
   * Writes the first `size` bytes of `data`. `kill`: set-id bits and capabilities are cleared as for this caller. Returns bytes
   * written.
   */
  write(node: NodeId, fh: Fh, offset: number, data: Uint8Array, size: number, kill: Caller | null): number;
  fsync(node: NodeId, fh: Fh, datasync: boolean): void;
  /** fallocate(2); `mode` are FALLOC_FL_* flags. */
  fallocate(node: NodeId, fh: Fh, mode: number, offset: number, length: number): void;
  /** SEEK_DATA or SEEK_HOLE. Returns the offset found; ENXIO. */
  lseek(node: NodeId, fh: Fh, offset: number, whence: number): number;
  /** Returns bytes copied. EXDEV or EOPNOTSUPP: the kernel copies by reading and writing. */
  copyFileRange(from: FileRange, to: FileRange, length: number): number;
  /**
   * Flag ioctls (FS_IOC_GETFLAGS, FS_IOC_FSGETXATTR and their setters) on the real file, for a caller whom the kernel has
   * checked. `data` is argument and result. ENOTTY for any other command.
   */
  ioctl(node: NodeId, fh: Fh, command: number, data: Uint8Array): void;

  /**
   * Lists from `offset` (0: from the start) until the sink is full or the directory ends. With `sink.plus`, entries come with
   * attributes or bare, as seems best for `caller`.
   */
  readdir(node: NodeId, fh: Fh, offset: number, caller: Caller, sink: DirSink): void;
  /** Opens a directory: a snapshot of its listing lives until {@link releasedir}. Not called under zero-message opens. */
  opendir(node: NodeId): Fh;
  releasedir(node: NodeId, fh: Fh): void;
  fsyncdir(node: NodeId, fh: Fh, datasync: boolean): void;

  /**
   * Value of an xattr into `into`; `size` 0 asks for the length. Returns the length, or the negative errno -ENODATA,
   * -ERANGE, -EACCES or -EOPNOTSUPP, which are ordinary answers here and not worth a throw.
   */
  getxattr(node: NodeId, name: Name, caller: Caller, into: Uint8Array, size: number): number;
  /** NUL-terminated names into `into`; `size` 0 asks for the length. ERANGE is returned as -ERANGE. `trusted.*` is for root. */
  listxattr(node: NodeId, caller: Caller, into: Uint8Array, size: number): number;
  /** `flags` XATTR_CREATE or XATTR_REPLACE; `killSgid`: FUSE_SETXATTR_ACL_KILL_SGID. */
  setxattr(node: NodeId, name: Name, value: Uint8Array, flags: number, killSgid: boolean): void;
  removexattr(node: NodeId, name: Name, caller: Caller): void;

  statfs(node: NodeId, out: FsStat): void;
  syncfs(): void;
  /** The thread is about to do other work between two requests: restores its own identity. */
  rest(): void;
  /** The mount has ended: closes everything. */
  destroy(): void;
}

/** Major and minor number of a device. */
export interface Rdev {
  readonly major: number;
  readonly minor: number;
}

/** A name in a directory. */
export interface Place {
  readonly parent: NodeId;
  readonly name: Name;
}

/** What CREATE and TMPFILE ask for: O_* flags and the mode before the umask. */
export interface CreateMode {
  readonly flags: number;
  readonly mode: number;
}

/** Where a copy starts. */
export interface FileRange {
  readonly node: NodeId;
  readonly fh: Fh;
  readonly offset: number;
}
