/** What the running overlay knows: one object that every part of the core is given. */
import { existsSync } from 'node:fs';
import { LRUCache } from 'lru-cache';
import * as sys from '../sys/index.js';
import { fail } from '../vfs/errors.js';
import type { CopyFlush } from '../vfs/jobs.js';
import { NodeTable } from '../vfs/node-table.js';
import type { NodeId } from '../vfs/types.js';
import { CACHE_COUNTS } from './cache-counts.js';
import type { Layer, OpenedLayers, OverlayOptions, OverlayServices } from './config.js';
import { copyFlushOf, WriteOuts } from './copy-flush.js';
import { Credentials } from './credentials.js';
import { InoMap } from './ino.js';
import type { Inode } from './inode.js';
import type { Listing } from './listing.js';
import { OwnXattrs } from './marks.js';
import { MountPoints } from './mount-points.js';
import { OpenFiles } from './open-files.js';
import { type Owners, ownersOf } from './owners.js';
import { DirFds, FileFds } from './real.js';
import { Walkers } from './walkers.js';
import { Writeback } from './writeback.js';

/** Listings in memory, bounded by the number of names they hold. */
export class Listings {
  readonly #cache: LRUCache<Inode, Listing>;

  constructor(maxNames: number) {
    this.#cache = new LRUCache({
      maxSize: maxNames,
      maxEntrySize: Number.MAX_SAFE_INTEGER,
      sizeCalculation: (listing) => Math.min(listing.names.length + 8, maxNames),
      dispose: (_listing, inode) => {
        inode.dir!.listing = null;
      },
    });
  }

  set(inode: Inode, listing: Listing): void {
    this.#cache.set(inode, listing);
    inode.dir!.listing = listing;
  }

  /** Marks a listing as used. */
  touch(inode: Inode): void {
    this.#cache.get(inode);
  }

  drop(inode: Inode): void {
    if (inode.dir!.listing !== null) this.#cache.delete(inode);
  }
}

/** Limits of what is kept in memory or open. */
const MAX_NAMES = 2_000_000;
const MAX_DIR_FDS = 4096;
const MAX_FILE_FDS = 1024;
/** What else a mount has open, with much to spare. */
const OTHER_FDS = 512;
/** How many descriptors a mount may come to hold, where the limit allows it. */
export const MAX_FDS = MAX_DIR_FDS + MAX_FILE_FDS + OTHER_FDS;

export class Overlay {
  readonly options: OverlayOptions;
  readonly services: OverlayServices;
  readonly opened: OpenedLayers;
  /** Upper layer, or null for a read-only mount. */
  readonly upperLayer: Layer | null;
  /** Index of the lowest layer that takes part in merging (data-only layers don't). */
  readonly lowest: number;
  /** nodeid 1; set by makeRoot(). */
  root: Inode | null = null;
  /** O_PATH descriptor of the work directory; -1 without an upper. */
  readonly work: number;
  /** O_PATH descriptor of the index directory; -1 unless index=on. */
  readonly indexDir: number;
  readonly own: OwnXattrs;
  readonly inoMap: InoMap;
  readonly credentials: Credentials;
  /** null unless owners are mapped, squashed or kept in xattrs. */
  readonly owners: Owners | null;
  readonly nodes = new NodeTable<Inode>();
  readonly dirs: DirFds;
  readonly files: FileFds;
  /** Mounts inside layers are possible; null: every layer is a clone of its own mount. */
  readonly mountPoints: MountPoints | null;
  readonly openFiles = new OpenFiles();
  readonly listings = new Listings(MAX_NAMES);
  readonly walkers = new Walkers();
  /** Inodes on upper with more than one hard link, by real inode number: they are one inode for every name. */
  readonly upperLinks = new Map<number, Inode>();
  /** With index=on, inodes of lower files with several links, by LinkEntry.key: they are one inode for every name. */
  readonly lowerLinks = new Map<string, Inode>();
  /** Inodes whose number comes from a mark on upper, by that number: see claims.ts. */
  readonly claims = new Map<string, Inode>();
  readonly writeback = new Writeback();
  readonly copyFlush: CopyFlush;
  readonly writeOuts = new WriteOuts();
  /** See cache-counts.ts. */
  readonly counts: Float64Array;
  /** Upper holds `.wh.` files, or is going to. */
  whUpper: boolean;
  /** Attributes of the object last looked at by lookup or getattr. */
  readonly stat = new sys.Stat();
  /** Attributes for questions on the side; any call may overwrite it. */
  readonly probe = new sys.Stat();
  /** Where {@link locate} found an inode's real object: a directory descriptor and a name in it ("": itself). */
  atFd = -1;
  atName = '';
  /** Bytes for xattr values and lists on the side; any call may overwrite it. */
  readonly scratch = Buffer.alloc(sys.XATTR_SIZE_MAX);
  /** Name in work of the whiteout whose hard links whiteouts are; null until the first one. */
  sharedWhiteout: string | null = null;
  /** The kernel runs SELinux: files may be asked for their labels. */
  readonly hasLabels = existsSync('/sys/fs/selinux/enforce');
  tempCounter = 0;

  constructor(opened: OpenedLayers, services: OverlayServices, freeFds: number) {
    const { options } = opened;
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
    this.dirs = new DirFds(Math.min(MAX_DIR_FDS, Math.floor(freeFds / 2)), this.counts);
    this.files = new FileFds(Math.min(MAX_FILE_FDS, Math.floor(freeFds / 4)));
  }

  /** The inode of a nodeid. ESTALE for a number that we did not hand out or that was forgotten. */
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

  /** Closes every descriptor that was opened while running; those of the layers belong to who opened them. */
  dispose(): void {
    this.mountPoints?.dispose();
    this.openFiles.clear();
    this.files.clear();
    this.dirs.clear();
  }

  /** Whether new directories are marked opaque although nothing is below them (!ovl_allow_offline_changes()). */
  get opaqueNewDirs(): boolean {
    const { index, metacopy, redirectDir, xino } = this.options;
    return index || metacopy || redirectDir === 'on' || xino === 'on';
  }

  /** First line of every change. EROFS without an upper. */
  writable(): void {
    if (this.upperLayer === null) fail(sys.EROFS, 'read-only');
  }

  /** A step whose failure changes nothing that matters: it is logged and gone. */
  bestEffort(what: string, rc: number): void {
    if (rc < 0) this.services.log.debug({ errno: sys.errnoName(rc) }, `${what}: tolerated`);
  }
}
