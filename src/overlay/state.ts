/** The state of a running overlay: one object that is passed to every part of the core. */
import * as sys from '../sys/index.js';
import { fail } from '../vfs/errors.js';
import type { CopyFlush } from '../vfs/jobs.js';
import { NodeTable } from '../vfs/node-table.js';
import type { NodeId } from '../vfs/types.js';
import { CACHE_COUNTS } from './cache-counts.js';
import type { Layer, OpenedLayers, OverlayOptions, OverlayServices } from './config.js';
import { copyFlushOf, WriteOuts } from './copy-flush.js';
import { Credentials } from './credentials.js';
import { descriptorBudget } from './descriptor-budget.js';
import { DirFds, FileFds } from './fd-cache.js';
import { InoMap } from './ino.js';
import type { Inode } from './inode.js';
import { Listings } from './listings.js';
import { MountPoints } from './mount-points.js';
import { OpenFiles } from './open-files.js';
import { OwnXattrs } from './own-xattrs.js';
import { type Owners, ownersOf } from './owners.js';
import { Walkers } from './walkers.js';
import { Writeback } from './writeback.js';

/** A running overlay: its layers, its inodes, and what is kept in memory or open for them. */
export class Overlay {
  // What was mounted, and how.
  readonly opened: OpenedLayers;
  readonly options: OverlayOptions;
  readonly services: OverlayServices;
  /** Upper layer, or null for a read-only mount. */
  readonly upperLayer: Layer | null;
  /** Index of the lowest layer that takes part in merging (data-only layers don't). */
  readonly lowest: number;
  /** O_PATH descriptor of the work directory; -1 without an upper. */
  readonly work: number;
  /** O_PATH descriptor of the index directory; -1 unless index=on. */
  readonly indexDir: number;
  readonly own: OwnXattrs;
  readonly inoMap: InoMap;
  readonly credentials: Credentials;
  /** null unless owners are mapped, squashed or kept in xattrs. */
  readonly owners: Owners | null;
  /** Set when there may be mounts inside layers; null: every layer is on a clone of its mount. */
  readonly mountPoints: MountPoints | null;
  readonly copyFlush: CopyFlush;

  // What is known and open at run time.
  /** nodeid 1; set by makeRoot(). */
  root: Inode | null = null;
  readonly nodes = new NodeTable<Inode>();
  readonly dirs: DirFds;
  readonly files: FileFds;
  readonly openFiles = new OpenFiles();
  readonly listings = new Listings();
  readonly walkers = new Walkers();
  /** Inodes on upper with several hard links, by real inode number: one inode for all names. */
  readonly upperLinks = new Map<number, Inode>();
  /** With index=on, inodes of lower files with several links, by LinkEntry.key: one inode for all names. */
  readonly lowerLinks = new Map<string, Inode>();
  /** Inodes whose number is determined by a mark on upper, by that number: see claims.ts. */
  readonly claims = new Map<string, Inode>();
  readonly writeback = new Writeback();
  readonly writeOuts = new WriteOuts();
  /** Descriptors of flushes under way, by job: one of the cached descriptors may be closed meanwhile. */
  readonly flushing = new Map<number, number>();
  /** See cache-counts.ts. */
  readonly counts: Float64Array;
  /** Upper holds `.wh.` files, or will. */
  whUpper: boolean;
  /** Name in work of the whiteout that others are hard links of; null until the first one. */
  sharedWhiteout: string | null = null;
  tempCounter = 0;

  // Results of calls, reused. Nothing here carries over from one request to the next.
  /** Attributes of the object last found, located, created or linked. */
  readonly stat = new sys.Stat();
  /** Scratch attributes; any call may overwrite them. */
  readonly probe = new sys.Stat();
  /**
   * Where {@link locate} found an inode's real object: a directory descriptor and a name in it ("": itself). Valid until the next
   * call, or until a directory is opened, for which `dirs` may close this one.
   */
  atFd = -1;
  atName = '';
  /** Scratch bytes for xattr values and the like; any call may overwrite them. */
  readonly scratch = Buffer.alloc(sys.XATTR_SIZE_MAX);

  /** `maxFds`: how many descriptors the process may have. Throws a UserError when that is too few. */
  constructor(opened: OpenedLayers, services: OverlayServices, maxFds: number) {
    const { options } = opened;
    const budget = descriptorBudget(maxFds, opened.descriptors.length);
    this.options = options;
    this.services = services;
    this.opened = opened;
    this.upperLayer = opened.hasUpper && !options.readOnly ? opened.layers[0]! : null;
    this.lowest = opened.layers.filter((layer) => layer.kind !== 'data').length - 1;
    this.work = opened.work;
    this.indexDir = opened.indexDir;
    this.copyFlush = copyFlushOf(opened);
    this.whUpper = options.whiteout === 'aufs';
    this.own = new OwnXattrs(options.userxattr);
    this.inoMap = new InoMap(opened.xinoBits);
    this.owners = ownersOf(opened);
    this.mountPoints = MountPoints.of(opened.layers, opened.work);
    this.credentials = new Credentials(opened.privileged, this.owners);
    this.counts = services.cacheCounts ?? new Float64Array(CACHE_COUNTS);
    this.dirs = new DirFds(budget.dirs, this.counts, () => this.#giveUpDescriptors());
    this.files = new FileFds(budget.files);
  }

  /** The inode of a nodeid. ESTALE for one that was never assigned or was forgotten. */
  inode(id: NodeId): Inode {
    return this.nodes.get(id) ?? this.#stale(id);
  }

  /** The same for a directory; ENOTDIR. */
  directory(id: NodeId): Inode {
    const inode = this.inode(id);
    if (inode.dir === null) fail(sys.ENOTDIR, 'directory');
    return inode;
  }

  #stale(id: NodeId): never {
    this.services.log.warn({ node: id }, 'unknown nodeid');
    return fail(sys.ESTALE, 'nodeid');
  }

  /**
   * openat(2) for everything that is opened while serving. When the process is out of descriptors (EMFILE), the least recently used
   * half of the cached ones is closed, and the call repeated once. Returns a descriptor or -errno.
   */
  open(dirfd: number, name: string, flags: number, mode = 0): number {
    const fd = sys.openat(dirfd, name, flags, mode);
    return this.again(fd) ? sys.openat(dirfd, name, flags, mode) : fd;
  }

  /** A second descriptor for the same open file, in the same manner. */
  dup(fd: number): number {
    const second = sys.dup(fd);
    return this.again(second) ? sys.dup(fd) : second;
  }

  /** open_by_handle_at(2), in the same manner. */
  openByHandle(mountFd: number, handle: sys.FileHandle, flags: number): number {
    const fd = sys.openByHandle(mountFd, handle, flags);
    return this.again(fd) ? sys.openByHandle(mountFd, handle, flags) : fd;
  }

  /** The mounts that this process sees, in the same manner; empty when it can't be told. */
  mounts(): sys.MountInfo[] {
    const found = sys.readMounts();
    return found.length === 0 && this.#giveUpDescriptors() ? sys.readMounts() : found;
  }

  /** Whether a call that ended with `rc` is to be made again: descriptors were short, and some were given up. */
  again(rc: number): boolean {
    return rc === -sys.EMFILE && this.#giveUpDescriptors();
  }

  #giveUpDescriptors(): boolean {
    const count = this.dirs.giveUpHalf() + this.files.giveUpHalf();
    this.services.log.debug({ count }, 'out of descriptors: gave some up');
    return count > 0;
  }

  /** Closes every descriptor that was opened at run time; those of the layers belong to whoever opened them. */
  dispose(): void {
    this.mountPoints?.dispose();
    this.openFiles.clear();
    this.files.clear();
    this.dirs.clear();
  }

  /** Whether new directories are marked opaque even if nothing is below them (!ovl_allow_offline_changes()). */
  get opaqueNewDirs(): boolean {
    const { index, metacopy, redirectDir, xino } = this.options;
    return index || metacopy || redirectDir === 'on' || xino === 'on';
  }

  /** The first step of every change. EROFS without an upper. */
  writable(): void {
    if (this.upperLayer === null) fail(sys.EROFS, 'read-only');
  }

  /** For a step whose failure is tolerated: logs it. */
  bestEffort(what: string, rc: number): void {
    if (rc < 0) this.services.log.debug({ errno: sys.errnoName(rc) }, `${what}: tolerated`);
  }
}
