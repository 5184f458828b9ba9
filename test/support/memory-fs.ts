/** A small filesystem in memory: real semantics, no layers. For tests of the protocol and of the session. */
import {
  EEXIST,
  EINVAL,
  EISDIR,
  ENODATA,
  ENOENT,
  ENOTDIR,
  ENOTEMPTY,
  ENOTTY,
  ENXIO,
  EPERM,
  ERANGE,
  ESTALE,
} from '../../src/sys/errno.js';
import { type Timespec, UTIME_NOW } from '../../src/sys/timespec.js';
import { fail } from '../../src/vfs/errors.js';
import type { CreateMode, FileRange, FileSystem, Place, Rdev } from '../../src/vfs/filesystem.js';
import {
  type Attr,
  type Caller,
  type DirSink,
  Entry,
  type Fh,
  type FsStat,
  type Name,
  type NodeId,
  type OpenReply,
  ROOT_ID,
  type SetAttr,
} from '../../src/vfs/types.js';

const S_IFMT = 0o170000;
const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;
const S_IFLNK = 0o120000;
const RENAME_NOREPLACE = 1;
const RENAME_EXCHANGE = 2;
const O_EXCL = 0o200;
const O_TRUNC = 0o1000;
const FS_IOC_GETFLAGS = 0x80086601;
const FS_IOC_SETFLAGS = 0x40086602;
const FS_IOC_FSGETXATTR = 0x801c581f;
const FALLOC_FL_KEEP_SIZE = 1;

interface Link {
  readonly node: Inode;
  /** Position in the listing: grows, is never reused. */
  readonly cookie: number;
}

/** A file of any type. */
class Inode {
  readonly id: NodeId;
  mode: number;
  uid = 0;
  gid = 0;
  nlink = 0;
  nlookup = 0;
  flags = 0;
  rdev: Rdev = { major: 0, minor: 0 };
  size = 0;
  data = Buffer.alloc(0);
  target = '';
  /** Of a directory. */
  readonly links = new Map<Name, Link>();
  parent: Inode = this;
  readonly xattrs = new Map<Name, Buffer>();
  atime: Timespec;
  mtime: Timespec;
  ctime: Timespec;
  readonly btime: Timespec;

  constructor(id: NodeId, mode: number, now: Timespec) {
    this.id = id;
    this.mode = mode;
    this.atime = this.mtime = this.ctime = this.btime = now;
  }

  get isDirectory(): boolean {
    return (this.mode & S_IFMT) === S_IFDIR;
  }

  get dtype(): number {
    return this.mode >> 12;
  }

  resize(size: number): void {
    if (size > this.data.length) {
      const grown = Buffer.alloc(Math.max(size, this.data.length * 2));
      this.data.copy(grown);
      this.data = grown;
    }
    if (size < this.size) this.data.fill(0, size, this.size);
    this.size = size;
  }
}

export class MemoryFs implements FileSystem {
  readonly nodes = new Map<NodeId, Inode>();
  /** Handles that are open. */
  readonly handles = new Set<Fh>();
  destroyed = false;
  #next = ROOT_ID as number;
  #cookies = 2;
  readonly #scratch = new Entry();
  readonly #now: () => Timespec;

  /** `now`: seconds and nanoseconds; a fixed clock makes replies exact. */
  constructor(
    now: () => Timespec = () => {
      const ms = Date.now();
      return { sec: Math.floor(ms / 1000), nsec: (ms % 1000) * 1e6 };
    },
  ) {
    this.#now = now;
    const root = this.#make(S_IFDIR | 0o755, null);
    root.nlink = 2;
    root.nlookup = 1;
  }

  /** Lookup count of a node, 0 when it is unknown. */
  nlookup(node: number): number {
    return this.nodes.get(node as NodeId)?.nlookup ?? 0;
  }

  lookup(parent: NodeId, name: Name, _caller: Caller, out: Entry): boolean {
    const link = this.#directory(parent).links.get(name);
    if (link === undefined) return false;
    this.#give(link.node, out);
    return true;
  }

  forget(node: NodeId, nlookup: number): void {
    const inode = this.nodes.get(node);
    if (inode === undefined) return;
    inode.nlookup = Math.max(0, inode.nlookup - nlookup);
    this.#reap(inode);
  }

  getattr(node: NodeId, _fh: Fh, out: Attr): void {
    this.#fill(this.#inode(node), out);
  }

  setattr(node: NodeId, change: SetAttr, _caller: Caller, out: Attr): void {
    const inode = this.#inode(node);
    const now = this.#now();
    if (change.mode !== null) inode.mode = (inode.mode & S_IFMT) | (change.mode & 0o7777);
    if (change.uid !== null) inode.uid = change.uid;
    if (change.gid !== null) inode.gid = change.gid;
    if (change.size !== null) {
      this.#file(node).resize(change.size);
      inode.mtime = now;
    }
    if (change.killSuidGid) inode.mode &= ~0o6000;
    if (change.atime !== null) inode.atime = change.atime.nsec === UTIME_NOW ? now : { ...change.atime };
    if (change.mtime !== null) inode.mtime = change.mtime.nsec === UTIME_NOW ? now : { ...change.mtime };
    inode.ctime = now;
    this.#fill(inode, out);
  }

  readlink(node: NodeId): string {
    const inode = this.#inode(node);
    if ((inode.mode & S_IFMT) !== S_IFLNK) fail(EINVAL);
    return inode.target;
  }

  mknod(parent: NodeId, name: Name, mode: number, rdev: Rdev, caller: Caller, out: Entry): void {
    const inode = this.#create(parent, name, mode & ~caller.umask, caller);
    inode.rdev = { ...rdev };
    this.#give(inode, out);
  }

  mkdir(parent: NodeId, name: Name, mode: number, caller: Caller, out: Entry): void {
    this.#give(this.#create(parent, name, S_IFDIR | (mode & ~caller.umask), caller), out);
  }

  symlink(parent: NodeId, name: Name, target: string, caller: Caller, out: Entry): void {
    const inode = this.#create(parent, name, S_IFLNK | 0o777, caller);
    inode.target = target;
    inode.size = target.length;
    this.#give(inode, out);
  }

  unlink(parent: NodeId, name: Name): void {
    const dir = this.#directory(parent);
    const { node } = dir.links.get(name) ?? fail(ENOENT);
    if (node.isDirectory) fail(EISDIR);
    this.#unlink(dir, name);
  }

  rmdir(parent: NodeId, name: Name): void {
    const dir = this.#directory(parent);
    const { node } = dir.links.get(name) ?? fail(ENOENT);
    if (!node.isDirectory) fail(ENOTDIR);
    if (node.links.size > 0) fail(ENOTEMPTY);
    this.#unlink(dir, name);
  }

  rename(from: Place, to: Place, flags: number): void {
    if ((flags & ~(RENAME_NOREPLACE | RENAME_EXCHANGE)) !== 0) fail(EINVAL);
    const [source, target] = [this.#directory(from.parent), this.#directory(to.parent)];
    const { node } = source.links.get(from.name) ?? fail(ENOENT);
    const old = target.links.get(to.name)?.node;
    if ((flags & RENAME_EXCHANGE) !== 0) {
      if (old === undefined) fail(ENOENT);
      this.#unlink(source, from.name, false);
      this.#unlink(target, to.name, false);
      this.#link(source, from.name, old);
      this.#link(target, to.name, node);
      return;
    }
    if (old === node) return;
    if (old !== undefined) {
      if ((flags & RENAME_NOREPLACE) !== 0) fail(EEXIST);
      if (old.isDirectory) this.rmdir(to.parent, to.name);
      else this.#unlink(target, to.name);
    }
    this.#unlink(source, from.name, false);
    this.#link(target, to.name, node);
  }

  link(node: NodeId, parent: NodeId, name: Name, out: Entry): void {
    const inode = this.#inode(node);
    if (inode.isDirectory) fail(EPERM);
    const dir = this.#directory(parent);
    if (dir.links.has(name)) fail(EEXIST);
    this.#link(dir, name, inode);
    inode.ctime = this.#now();
    this.#give(inode, out);
  }

  open(node: NodeId, flags: number, _caller: Caller, out: OpenReply): void {
    const inode = this.#file(node);
    if ((flags & O_TRUNC) !== 0) inode.resize(0);
    out.fh = this.#handle();
  }

  create(
    parent: NodeId,
    name: Name,
    { flags, mode }: CreateMode,
    caller: Caller,
    out: Entry,
    open: OpenReply,
  ): void {
    const old = this.#directory(parent).links.get(name)?.node;
    if (old !== undefined && (flags & O_EXCL) !== 0) fail(EEXIST);
    if (old?.isDirectory === true) fail(EISDIR);
    const inode = old ?? this.#create(parent, name, S_IFREG | (mode & 0o7777 & ~caller.umask), caller);
    this.open(inode.id, flags, caller, open);
    this.#give(inode, out);
  }

  tmpfile(_parent: NodeId, { mode }: CreateMode, caller: Caller, out: Entry, open: OpenReply): void {
    const inode = this.#make(S_IFREG | (mode & 0o7777 & ~caller.umask), caller);
    open.fh = this.#handle();
    this.#give(inode, out);
  }

  release(_node: NodeId, fh: Fh): void {
    this.handles.delete(fh);
  }

  read(node: NodeId, _fh: Fh, offset: number, into: Uint8Array, size: number): number {
    const inode = this.#file(node);
    const end = Math.min(offset + size, inode.size);
    if (offset >= end) return 0;
    into.set(inode.data.subarray(offset, end));
    return end - offset;
  }

  write(node: NodeId, _fh: Fh, offset: number, data: Uint8Array, size: number, kill: Caller | null): number {
    const inode = this.#file(node);
    if (offset + size > inode.size) inode.resize(offset + size);
    inode.data.set(data.subarray(0, size), offset);
    if (kill !== null) inode.mode &= ~0o6000;
    inode.mtime = inode.ctime = this.#now();
    return size;
  }

  fsync(): void {}

  fallocate(node: NodeId, _fh: Fh, mode: number, offset: number, length: number): void {
    const inode = this.#file(node);
    if ((mode & ~FALLOC_FL_KEEP_SIZE) !== 0) fail(EINVAL);
    if (mode === 0 && offset + length > inode.size) inode.resize(offset + length);
  }

  lseek(node: NodeId, _fh: Fh, offset: number, whence: number): number {
    const { size } = this.#file(node);
    if (offset >= size) fail(ENXIO);
    return whence === 4 ? size : offset;
  }

  copyFileRange(from: FileRange, to: FileRange, length: number): number {
    const source = this.#file(from.node);
    const data = Buffer.from(source.data.subarray(from.offset, Math.min(source.size, from.offset + length)));
    return this.write(to.node, to.fh, to.offset, data, data.length, null);
  }

  ioctl(node: NodeId, _fh: Fh, command: number, data: Uint8Array): void {
    const inode = this.#inode(node);
    if (command === FS_IOC_GETFLAGS) data.set([inode.flags]);
    else if (command === FS_IOC_SETFLAGS) inode.flags = data[0] ?? 0;
    // Linux asks for this before it sets flags by either ioctl: all zeros is a valid answer.
    else if (command !== FS_IOC_FSGETXATTR) fail(ENOTTY);
  }

  readdir(node: NodeId, _fh: Fh, offset: number, _caller: Caller, sink: DirSink): void {
    const dir = this.#directory(node);
    const dot = S_IFDIR >> 12;
    if (offset < 1 && !sink.add('.', dir.id, 0, dot, 1)) return;
    if (offset < 2 && !sink.add('..', dir.parent.id, 0, dot, 2)) return;
    for (const [name, link] of dir.links) {
      if (link.cookie <= offset) continue;
      if (!(sink.plus ? this.#addPlus(sink, name, link) : this.#add(sink, name, link))) return;
    }
  }

  opendir(node: NodeId): Fh {
    this.#directory(node);
    return this.#handle();
  }

  releasedir(_node: NodeId, fh: Fh): void {
    this.handles.delete(fh);
  }

  fsyncdir(): void {}

  getxattr(node: NodeId, name: Name, _caller: Caller, into: Uint8Array, size: number): number {
    const value = this.#inode(node).xattrs.get(name);
    if (value === undefined) return -ENODATA;
    if (size === 0) return value.length;
    if (value.length > size) return -ERANGE;
    into.set(value);
    return value.length;
  }

  listxattr(node: NodeId, _caller: Caller, into: Uint8Array, size: number): number {
    const names = Buffer.from([...this.#inode(node).xattrs.keys()].map((n) => `${n}\0`).join(''), 'latin1');
    if (size === 0) return names.length;
    if (names.length > size) return -ERANGE;
    into.set(names);
    return names.length;
  }

  setxattr(node: NodeId, name: Name, value: Uint8Array, flags: number, killSgid: boolean): void {
    const inode = this.#inode(node);
    if (flags === 1 && inode.xattrs.has(name)) fail(EEXIST);
    if (flags === 2 && !inode.xattrs.has(name)) fail(ENODATA);
    inode.xattrs.set(name, Buffer.from(value));
    if (killSgid) inode.mode &= ~0o2000;
  }

  removexattr(node: NodeId, name: Name): void {
    if (!this.#inode(node).xattrs.delete(name)) fail(ENODATA);
  }

  statfs(_node: NodeId, out: FsStat): void {
    out.blocks = 1 << 20;
    out.bfree = out.bavail = 1 << 19;
    out.files = 1 << 16;
    out.ffree = (1 << 16) - this.nodes.size;
    out.bsize = out.frsize = 4096;
    out.namelen = 255;
  }

  syncfs(): void {}

  rest(): void {}

  destroy(): void {
    this.destroyed = true;
  }

  #inode(node: NodeId): Inode {
    return this.nodes.get(node) ?? fail(ESTALE);
  }

  /** A regular file. */
  #file(node: NodeId): Inode {
    const inode = this.#inode(node);
    if (inode.isDirectory) fail(EISDIR);
    return (inode.mode & S_IFMT) === S_IFREG ? inode : fail(EINVAL);
  }

  #directory(node: NodeId): Inode {
    const inode = this.#inode(node);
    return inode.isDirectory ? inode : fail(ENOTDIR);
  }

  #make(mode: number, caller: Caller | null): Inode {
    const inode = new Inode(this.#next++ as NodeId, mode, this.#now());
    inode.uid = caller?.uid ?? 0;
    inode.gid = caller?.gid ?? 0;
    this.nodes.set(inode.id, inode);
    return inode;
  }

  #create(parent: NodeId, name: Name, mode: number, caller: Caller): Inode {
    const dir = this.#directory(parent);
    if (dir.links.has(name)) fail(EEXIST);
    const inode = this.#make(mode, caller);
    if (inode.isDirectory) inode.nlink = 1;
    this.#link(dir, name, inode);
    return inode;
  }

  #link(dir: Inode, name: Name, node: Inode): void {
    dir.links.set(name, { node, cookie: ++this.#cookies });
    node.nlink++;
    if (node.isDirectory) {
      dir.nlink++;
      node.parent = dir;
    }
    dir.mtime = dir.ctime = this.#now();
  }

  #unlink(dir: Inode, name: Name, reap = true): void {
    const { node } = dir.links.get(name)!;
    dir.links.delete(name);
    node.nlink--;
    if (node.isDirectory) {
      dir.nlink--;
      if (reap) node.nlink--;
    }
    node.ctime = dir.mtime = dir.ctime = this.#now();
    if (reap) this.#reap(node);
  }

  #reap(inode: Inode): void {
    if (inode.nlookup === 0 && inode.nlink <= 0) this.nodes.delete(inode.id);
  }

  #handle(): Fh {
    const fh = (this.handles.size + 1) as Fh;
    let free = fh;
    while (this.handles.has(free)) free = (free + 1) as Fh;
    this.handles.add(free);
    return free;
  }

  #give(inode: Inode, out: Entry): void {
    inode.nlookup++;
    out.node = inode.id;
    this.#fill(inode, out.attr);
  }

  #add(sink: DirSink, name: Name, { node, cookie }: Link): boolean {
    return sink.add(name, node.id, 0, node.dtype, cookie);
  }

  #addPlus(sink: DirSink, name: Name, { node, cookie }: Link): boolean {
    if (!sink.fits(name)) return false;
    this.#give(node, this.#scratch);
    return sink.addPlus(name, this.#scratch, node.dtype, cookie);
  }

  #fill(inode: Inode, out: Attr): void {
    out.inoLo = inode.id;
    out.inoHi = 0;
    out.size = inode.size;
    out.blocks = Math.ceil(inode.size / 512);
    out.atime = inode.atime.sec;
    out.atimeNsec = inode.atime.nsec;
    out.mtime = inode.mtime.sec;
    out.mtimeNsec = inode.mtime.nsec;
    out.ctime = inode.ctime.sec;
    out.ctimeNsec = inode.ctime.nsec;
    out.btime = inode.btime.sec;
    out.btimeNsec = inode.btime.nsec;
    out.hasBtime = true;
    out.mode = inode.mode;
    out.nlink = inode.nlink;
    out.uid = inode.uid;
    out.gid = inode.gid;
    out.rdevMajor = inode.rdev.major;
    out.rdevMinor = inode.rdev.minor;
    out.blksize = 4096;
  }
}
