/**
 * The operations of libfuse 2.9's path interface on a {@link FileSystem} of inodes.
 *
 * Owner of what is created: the user and group of this process. fuse-native names no caller, and without allow_other
 * the kernel admits nobody but the mounting user, so that is the caller. With allow_other it may be anyone: then a file must
 * not be created set-user-id or set-group-id, since it would run in our name.
 *
 * Unlinked open files: libfuse renames one to `.fuse_hidden...` instead of removing it. Here that removes the name at
 * once, and the hidden name leads to the node only in this file (`#ghosts`) until libfuse unlinks it.
 */
import { O_CREAT, O_EXCL, O_RDWR, S_ISGID, S_ISUID } from '../sys/consts.js';
import { majorOf, minorOf } from '../sys/device-number.js';
import { EBUSY, EOPNOTSUPP, EPERM } from '../sys/errno.js';
import type { Timespec } from '../sys/timespec.js';
import { fail } from '../vfs/errors.js';
import type { FileSystem } from '../vfs/filesystem.js';
import {
  Attr,
  Caller,
  type DirSink,
  Entry,
  FsStat,
  type Name,
  NO_FH,
  type NodeId,
  OpenReply,
  SetAttr,
} from '../vfs/types.js';
import { entryWords, Ino32, statfsWords, statWords } from './encode.js';
import { Handles } from './handles.js';
import { NameCache } from './name-cache.js';
import { NodeRefs } from './node-refs.js';
import { bytesOf, splitPath, textOf } from './text.js';

/** Names that libfuse invents for unlinked open files. */
const HIDDEN = /\/\.fuse_hidden[0-9a-f]{16}$/;
/** "Leave it" in a chown. */
const KEEP_ID = 0xffffffff;
const EXCLUSIVE = O_RDWR | O_CREAT | O_EXCL;

/** Both times in milliseconds, as a utimens carries them. */
export interface Times {
  readonly atime: number;
  readonly mtime: number;
}

function timespec(ms: number): Timespec {
  const sec = Math.floor(ms / 1000);
  return { sec, nsec: (ms - sec * 1000) * 1_000_000 };
}

/** Collects a whole directory. */
class Listing implements DirSink {
  readonly plus = false;
  readonly names: string[] = [];
  readonly stats: Uint32Array[] = [];
  readonly #ino: Ino32;

  constructor(ino: Ino32) {
    this.#ino = ino;
  }

  fits(): boolean {
    return true;
  }

  add(name: Name, inoLo: number, inoHi: number, dtype: number): boolean {
    this.names.push(textOf(name));
    this.stats.push(entryWords(this.#ino.map(inoLo, inoHi), dtype));
    return true;
  }

  addPlus(name: Name, entry: Entry, dtype: number): boolean {
    return this.add(name, entry.attr.inoLo, entry.attr.inoHi, dtype);
  }
}

/** fuse-native names no caller, so a request for an xattr gets what everybody may know. */
const NOBODY = new Caller();

/** One method per callback of libfuse, by paths and handles. Methods throw FsError or Deferred. */
export class PathFiles {
  readonly #fs: FileSystem;
  readonly #allowOther: boolean;
  readonly #caller = new Caller();
  readonly #refs: NodeRefs;
  readonly #names: NameCache;
  readonly #handles: Handles;
  readonly #ghosts = new Map<string, NodeId>();
  readonly #ino = new Ino32();
  readonly #entry = new Entry();
  readonly #attr = new Attr();
  readonly #open = new OpenReply();

  constructor(fs: FileSystem, allowOther: boolean) {
    this.#fs = fs;
    this.#allowOther = allowOther;
    this.#caller.uid = process.geteuid!();
    this.#caller.gid = process.getegid!();
    this.#caller.pid = process.pid;
    this.#refs = new NodeRefs(fs);
    this.#names = new NameCache(fs, this.#refs, this.#caller);
    this.#handles = new Handles(fs, this.#refs);
  }

  #find(path: string): NodeId {
    return this.#ghosts.get(path) ?? this.#names.find(bytesOf(path));
  }

  /** Directory and name for something new. */
  #place(path: string): { bytes: string; parent: NodeId; name: Name } {
    if (HIDDEN.test(path)) fail(EPERM, 'a name of libfuse');
    return this.#existing(path);
  }

  #existing(path: string): { bytes: string; parent: NodeId; name: Name } {
    const bytes = bytesOf(path);
    const [directory, name] = splitPath(bytes);
    return { bytes, parent: this.#names.find(directory), name };
  }

  #mayCreate(mode: number): void {
    if (this.#allowOther && (mode & (S_ISUID | S_ISGID)) !== 0) fail(EPERM, 'set-id at birth');
  }

  #words(node: NodeId): Uint32Array {
    this.#fs.getattr(node, NO_FH, this.#attr);
    return statWords(this.#attr, this.#ino);
  }

  getattr(path: string): Uint32Array {
    const node = this.#find(path);
    const fresh = this.#names.freshAttr(node);
    return fresh === null ? this.#words(node) : statWords(fresh, this.#ino);
  }

  fgetattr(handle: number): Uint32Array {
    return this.#words(this.#handles.get(handle).node);
  }

  #setattr(node: NodeId, set: (change: SetAttr) => void): void {
    const change = new SetAttr();
    set(change);
    this.#fs.setattr(node, change, this.#caller, this.#attr);
  }

  chmod(path: string, mode: number): void {
    this.#setattr(this.#find(path), (change) => {
      change.mode = mode;
    });
  }

  chown(path: string, uid: number, gid: number): void {
    this.#setattr(this.#find(path), (change) => {
      change.uid = uid === KEEP_ID ? null : uid;
      change.gid = gid === KEEP_ID ? null : gid;
    });
  }

  /** `times` null: the request could not be decoded. EOPNOTSUPP. */
  utimens(path: string, times: Times | null): void {
    if (times === null) fail(EOPNOTSUPP, 'utimens');
    this.#setattr(this.#find(path), (change) => {
      change.atime = timespec(times.atime);
      change.mtime = timespec(times.mtime);
    });
  }

  truncate(path: string, size: number): void {
    this.#setattr(this.#find(path), (change) => {
      change.size = size;
    });
  }

  ftruncate(handle: number, size: number): void {
    this.#setattr(this.#handles.get(handle).node, (change) => {
      change.size = size;
    });
  }

  readlink(path: string): string {
    return textOf(this.#fs.readlink(this.#find(path)));
  }

  mknod(path: string, mode: number, device: number): void {
    this.#mayCreate(mode);
    const { bytes, parent, name } = this.#place(path);
    const rdev = { major: majorOf(device), minor: minorOf(device) };
    this.#fs.mknod(parent, name, mode, rdev, this.#caller, this.#entry);
    this.#names.add(bytes, this.#entry.node);
  }

  mkdir(path: string, mode: number): void {
    const { bytes, parent, name } = this.#place(path);
    this.#fs.mkdir(parent, name, mode, this.#caller, this.#entry);
    this.#names.add(bytes, this.#entry.node);
  }

  symlink(target: string, path: string): void {
    const { bytes, parent, name } = this.#place(path);
    this.#fs.symlink(parent, name, bytesOf(target), this.#caller, this.#entry);
    this.#names.add(bytes, this.#entry.node);
  }

  link(from: string, to: string): void {
    const node = this.#find(from);
    const { bytes, parent, name } = this.#place(to);
    this.#fs.link(node, parent, name, this.#entry);
    this.#names.add(bytes, this.#entry.node);
  }

  unlink(path: string): void {
    const ghost = this.#ghosts.get(path);
    if (ghost !== undefined) {
      this.#ghosts.delete(path);
      this.#refs.drop(ghost);
      return;
    }
    const { bytes, parent, name } = this.#existing(path);
    this.#fs.unlink(parent, name);
    this.#names.drop(bytes);
  }

  rmdir(path: string): void {
    const inside = `${path}/`;
    for (const ghost of this.#ghosts.keys()) if (ghost.startsWith(inside)) fail(EBUSY, 'unlinked open file');
    const { bytes, parent, name } = this.#existing(path);
    this.#fs.rmdir(parent, name);
    this.#names.drop(bytes);
  }

  rename(from: string, to: string): void {
    if (HIDDEN.test(to)) {
      this.#hide(from, to);
      return;
    }
    const source = this.#existing(from);
    const target = this.#place(to);
    this.#fs.rename(source, target, 0);
    this.#names.drop(source.bytes);
    this.#names.drop(target.bytes);
    for (const [ghost, node] of [...this.#ghosts]) {
      if (!ghost.startsWith(`${from}/`)) continue;
      this.#ghosts.delete(ghost);
      this.#ghosts.set(to + ghost.slice(from.length), node);
    }
  }

  /** libfuse keeps an unlinked open file reachable under `hidden`. */
  #hide(path: string, hidden: string): void {
    const node = this.#find(path);
    if (!this.#handles.isOpen(node)) fail(EPERM, 'a name of libfuse');
    const { bytes, parent, name } = this.#existing(path);
    this.#fs.unlink(parent, name);
    this.#refs.share(node);
    this.#ghosts.set(hidden, node);
    this.#names.drop(bytes);
  }

  /**
   * As under the kernel protocol's zero-message opens the filesystem is not asked: data requests name the node, so a file
   * is copied up by its first change, and whoever has it open sees that.
   */
  open(path: string): number {
    return this.#handles.add(this.#find(path), NO_FH);
  }

  /** The kernel has seen that the name is free: one that is not any more is an error, since the flags are unknown. */
  create(path: string, mode: number): number {
    this.#mayCreate(mode);
    const { bytes, parent, name } = this.#place(path);
    this.#open.fh = NO_FH;
    const how = { flags: EXCLUSIVE, mode };
    this.#fs.create(parent, name, how, this.#caller, this.#entry, this.#open);
    const { node } = this.#entry;
    this.#names.add(bytes, node);
    return this.#handles.add(node, this.#open.fh);
  }

  release(handle: number): void {
    this.#handles.close(handle);
  }

  read(handle: number, into: Buffer, size: number, offset: number): number {
    const { node, fh } = this.#handles.get(handle);
    return this.#fs.read(node, fh, offset, into, size);
  }

  write(handle: number, data: Buffer, size: number, offset: number): number {
    const { node, fh } = this.#handles.get(handle);
    return this.#fs.write(node, fh, offset, data, size, null);
  }

  fsync(handle: number, datasync: boolean): void {
    const { node, fh } = this.#handles.get(handle);
    this.#fs.fsync(node, fh, datasync);
  }

  fsyncdir(path: string, datasync: boolean): void {
    this.#fs.fsyncdir(this.#find(path), NO_FH, datasync);
  }

  /** All names and, for their types and numbers, as many records. EILSEQ when one is no UTF-8: none may be left out. */
  readdir(path: string): readonly [string[], Uint32Array[]] {
    const node = this.#find(path);
    const listing = new Listing(this.#ino);
    const fh = this.#fs.opendir(node);
    try {
      this.#fs.readdir(node, fh, 0, this.#caller, listing);
    } finally {
      this.#fs.releasedir(node, fh);
    }
    return [listing.names, listing.stats];
  }

  getxattr(path: string, name: string, into: Buffer): number {
    return this.#fs.getxattr(this.#find(path), bytesOf(name), NOBODY, into, into.length);
  }

  listxattr(path: string, into: Buffer): number {
    return this.#fs.listxattr(this.#find(path), this.#caller, into, into.length);
  }

  setxattr(path: string, name: string, value: Buffer, flags: number): void {
    this.#fs.setxattr(this.#find(path), bytesOf(name), value, flags, false);
  }

  removexattr(path: string, name: string): void {
    this.#fs.removexattr(this.#find(path), bytesOf(name), this.#caller);
  }

  statfs(path: string): Uint32Array {
    const stat = new FsStat();
    this.#fs.statfs(this.#find(path), stat);
    return statfsWords(stat);
  }

  /** The mount has ended: gives every reference back. Returns how many nodes are still held: 0, or there is a leak. */
  dispose(): number {
    this.#handles.closeAll();
    for (const node of this.#ghosts.values()) this.#refs.drop(node);
    this.#ghosts.clear();
    this.#names.clear();
    return this.#refs.size;
  }
}
