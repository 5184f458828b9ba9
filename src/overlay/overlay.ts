/**
 * The overlay as a FileSystem: one short method per operation, which finds its inodes and calls the file named after the behaviour.
 *
 * Concurrency: all of this runs on the session thread, one request at a time, and nothing awaits; so there are no
 * locks. What would break that: a second session thread, or a helper thread that touches an {@link Inode}. Helpers
 * get descriptors only (vfs/jobs.ts). An operation that throws Deferred has changed nothing visible and runs again
 * from its start; meanwhile others may run, which is why whatever changes an inode or its names calls settle() first.
 */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import type { CreateMode, FileRange, FileSystem, Place, Rdev } from '../vfs/filesystem.js';
import {
  type Attr,
  type Caller,
  type DirSink,
  Entry,
  type Fh,
  type FsStat,
  type Name,
  NO_FH,
  type NodeId,
  type OpenReply,
  type SetAttr,
} from '../vfs/types.js';
import { setattr } from './attr.js';
import type { OpenedLayers, OverlayServices } from './config.js';
import { type Created, type Creation, createAt, tmpfile } from './create.js';
import * as file from './file.js';
import { dirOf, type Inode } from './inode.js';
import { ioctl } from './ioctl.js';
import { link } from './link.js';
import { fillAttr, fillEntry, locate, statInode } from './locate.js';
import { find, findExisting, forget, makeRoot } from './lookup.js';
import { dropInode, giveUpAll } from './names.js';
import { handOver, open, release } from './open-files.js';
import { readdir } from './readdir.js';
import { rmdir, unlink } from './remove.js';
import { rename } from './rename.js';
import { Overlay } from './state.js';
import { isVirtual, virtualXattr } from './virtual-xattrs.js';
import * as xattrs from './xattrs.js';

/** Builds the filesystem over opened layers. Call it on the thread that will serve it. Throws a UserError or FsError. */
export function createOverlay(
  opened: OpenedLayers,
  services: OverlayServices,
  maxFds = sys.maxDescriptors(),
): FileSystem {
  const overlay = new Overlay(opened, services, maxFds);
  makeRoot(overlay);
  return new OverlayFileSystem(overlay);
}

class OverlayFileSystem implements FileSystem {
  readonly #ov: Overlay;
  readonly #fsStat = new sys.StatFs();
  readonly #listed = new Entry();

  constructor(overlay: Overlay) {
    this.#ov = overlay;
  }

  lookup(parent: NodeId, name: Name, caller: Caller, out: Entry): boolean {
    const dir = this.#ov.directory(parent);
    const inode = find(this.#ov, dir, name);
    if (inode === null) return false;
    if (inode.dir === null && dirOf(dir).listing?.wasGivenBare) this.#ov.walkers.lookedUp(caller.pid);
    fillEntry(this.#ov, inode, out);
    return true;
  }

  forget(node: NodeId, nlookup: number): void {
    const inode = this.#ov.nodes.get(node);
    if (inode !== undefined) forget(this.#ov, inode, nlookup);
  }

  getattr(node: NodeId, _fh: Fh, out: Attr): void {
    const inode = this.#ov.inode(node);
    statInode(this.#ov, inode);
    fillAttr(this.#ov, inode, out);
  }

  setattr(node: NodeId, change: SetAttr, caller: Caller, out: Attr): void {
    const inode = this.#ov.inode(node);
    setattr(this.#ov, inode, change, caller);
    statInode(this.#ov, inode);
    fillAttr(this.#ov, inode, out);
  }

  readlink(node: NodeId): string {
    const inode = this.#ov.inode(node);
    if (inode.type !== sys.S_IFLNK) fail(sys.EINVAL, 'readlink');
    locate(this.#ov, inode);
    const { scratch } = this.#ov;
    return scratch.latin1Slice(
      0,
      must(sys.readlinkat(this.#ov.atFd, this.#ov.atName, scratch), 'readlinkat'),
    );
  }

  mknod(parent: NodeId, name: Name, mode: number, rdev: Rdev, caller: Caller, out: Entry): void {
    const type = mode & sys.S_IFMT;
    // A caller's device 0:0 would be a whiteout (ovl_mknod()).
    if (type === sys.S_IFCHR && rdev.major === 0 && rdev.minor === 0) fail(sys.EPERM, 'mknod 0:0');
    const make = (fd: number, at: string) => sys.mknodat(fd, at, mode, rdev.major, rdev.minor);
    this.#create(parent, name, caller, { type, mode, make }, out);
  }

  mkdir(parent: NodeId, name: Name, mode: number, caller: Caller, out: Entry): void {
    const make = (fd: number, at: string) => sys.mkdirat(fd, at, mode);
    this.#create(parent, name, caller, { type: sys.S_IFDIR, mode, make }, out);
  }

  symlink(parent: NodeId, name: Name, target: string, caller: Caller, out: Entry): void {
    const make = (fd: number, at: string) => sys.symlinkat(target, fd, at);
    this.#create(parent, name, caller, { type: sys.S_IFLNK, mode: 0o777, make }, out);
  }

  #create(parent: NodeId, name: Name, caller: Caller, what: Creation, out: Entry): Created {
    const created = createAt(this.#ov, this.#ov.directory(parent), name, caller, what);
    fillEntry(this.#ov, created.inode, out);
    return created;
  }

  unlink(parent: NodeId, name: Name): void {
    unlink(this.#ov, this.#ov.directory(parent), name);
  }

  rmdir(parent: NodeId, name: Name): void {
    rmdir(this.#ov, this.#ov.directory(parent), name);
  }

  rename(from: Place, to: Place, flags: number): void {
    const source = { parent: this.#ov.directory(from.parent), name: from.name };
    rename(this.#ov, source, { parent: this.#ov.directory(to.parent), name: to.name }, flags);
  }

  link(node: NodeId, parent: NodeId, name: Name, out: Entry): void {
    const inode = this.#ov.inode(node);
    link(this.#ov, inode, this.#ov.directory(parent), name);
    fillEntry(this.#ov, inode, out);
  }

  open(node: NodeId, flags: number, _caller: Caller, out: OpenReply): void {
    open(this.#ov, this.#ov.inode(node), flags, out);
  }

  create(parent: NodeId, name: Name, mode: CreateMode, caller: Caller, out: Entry, reply: OpenReply): void {
    const flags = sys.O_RDWR | sys.O_CREAT | sys.O_EXCL | sys.O_NOFOLLOW | sys.O_CLOEXEC;
    const make = (fd: number, at: string) => this.#ov.open(fd, at, flags, mode.mode & 0o7777);
    const dir = this.#ov.directory(parent);
    if ((mode.flags & sys.O_EXCL) === 0 && this.#openExisting(dir, name, mode.flags, out, reply)) return;
    const what = { type: sys.S_IFREG, mode: mode.mode, make };
    const { inode, rc } = this.#create(parent, name, caller, what, out);
    handOver(this.#ov, inode, rc, reply);
  }

  /** Opens a file that somebody else has created since the kernel looked. Returns false when there is none. */
  #openExisting(dir: Inode, name: Name, flags: number, out: Entry, reply: OpenReply): boolean {
    if (!dirOf(dir).children.has(name)) return false;
    const inode = findExisting(this.#ov, dir, name);
    open(this.#ov, inode, flags, reply);
    fillEntry(this.#ov, inode, out);
    return true;
  }

  tmpfile(parent: NodeId, mode: CreateMode, caller: Caller, out: Entry, reply: OpenReply): void {
    const inode = tmpfile(this.#ov, this.#ov.directory(parent), mode.mode, caller);
    if (this.#ov.services.dataMode === 'passthrough') {
      const fd = this.#ov.dup(inode.orphan);
      if (fd < 0) dropInode(this.#ov, inode);
      handOver(this.#ov, inode, must(fd, 'dup'), reply);
    }
    fillEntry(this.#ov, inode, out);
  }

  release(_node: NodeId, fh: Fh): void {
    release(this.#ov, fh);
  }

  read(node: NodeId, _fh: Fh, offset: number, into: Uint8Array, size: number): number {
    return file.read(this.#ov, this.#ov.inode(node), offset, into, size);
  }

  write(node: NodeId, _fh: Fh, offset: number, data: Uint8Array, size: number, kill: Caller | null): number {
    return file.write(this.#ov, this.#ov.inode(node), { offset, kill }, data, size);
  }

  fsync(node: NodeId, _fh: Fh, datasync: boolean): void {
    file.fsync(this.#ov, this.#ov.inode(node), datasync);
  }

  fallocate(node: NodeId, _fh: Fh, mode: number, offset: number, length: number): void {
    file.fallocate(this.#ov, this.#ov.inode(node), mode, offset, length);
  }

  lseek(node: NodeId, _fh: Fh, offset: number, whence: number): number {
    return file.lseek(this.#ov, this.#ov.inode(node), offset, whence);
  }

  copyFileRange(from: FileRange, to: FileRange, length: number): number {
    const source = { inode: this.#ov.inode(from.node), offset: from.offset };
    return file.copyFileRange(
      this.#ov,
      source,
      { inode: this.#ov.inode(to.node), offset: to.offset },
      length,
    );
  }

  ioctl(node: NodeId, _fh: Fh, command: number, data: Uint8Array): void {
    ioctl(
      this.#ov,
      this.#ov.inode(node),
      command,
      Buffer.from(data.buffer, data.byteOffset, data.byteLength),
    );
  }

  readdir(node: NodeId, _fh: Fh, offset: number, caller: Caller, sink: DirSink): void {
    readdir(this.#ov, this.#ov.directory(node), offset, caller, sink, this.#listed);
  }

  opendir(node: NodeId): Fh {
    this.#ov.directory(node);
    return NO_FH;
  }

  releasedir(_node: NodeId, _fh: Fh): void {}

  fsyncdir(node: NodeId, _fh: Fh, datasync: boolean): void {
    file.fsync(this.#ov, this.#ov.directory(node), datasync);
  }

  getxattr(node: NodeId, name: Name, caller: Caller, into: Uint8Array, size: number): number {
    const inode = this.#ov.inode(node);
    if (isVirtual(name)) return virtualXattr(this.#ov, inode, { name, caller }, into, size);
    return xattrs.getxattr(this.#ov, inode, name, into, size);
  }

  listxattr(node: NodeId, caller: Caller, into: Uint8Array, size: number): number {
    return xattrs.listxattr(this.#ov, this.#ov.inode(node), caller.uid, into, size);
  }

  setxattr(node: NodeId, name: Name, value: Uint8Array, flags: number, killSgid: boolean): void {
    xattrs.setxattr(this.#ov, this.#ov.inode(node), name, value, { flags, killSgid });
  }

  removexattr(node: NodeId, name: Name, caller: Caller): void {
    xattrs.removexattr(this.#ov, this.#ov.inode(node), name, caller);
  }

  statfs(_node: NodeId, out: FsStat): void {
    const from = this.#fsStat;
    must(sys.fstatfs(this.#ov.opened.layers[0]!.root, from), 'fstatfs');
    out.blocks = from.blocks;
    out.bfree = from.bfree;
    out.bavail = from.bavail;
    out.files = from.files;
    out.ffree = from.ffree;
    out.bsize = from.bsize;
    out.frsize = from.frsize;
    out.namelen = sys.NAME_MAX;
  }

  syncfs(): void {
    file.syncfs(this.#ov);
  }

  rest(): void {
    this.#ov.credentials.self();
  }

  destroy(): void {
    giveUpAll(this.#ov);
    this.#ov.dispose();
  }
}
