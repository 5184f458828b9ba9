/** The objects of the merged view on one page: real directories, inodes, and how they relate. */
import type { NodeId } from '../vfs/types.js';
import type { Layer } from './config.js';
import type { Listing } from './listing.js';
import type { PendingCopyUp } from './new-file.js';

/**
 * A directory on one layer. It is reached from its parent by one component, never by a path, so that no symlink in a layer is
 * ever followed. `parent` is null for the root of the layer. Immutable on a lower layer; moved by a rename on upper.
 */
export class RealDir {
  readonly layer: Layer;
  parent: RealDir | null;
  name: string;
  /** The position of its descriptor is not at the start. Maintained by DirFds. */
  wasRead = false;
  /** May hold xattr whiteouts: it is marked `overlay.opaque=x`. */
  xwhiteouts = false;
  /** A lower directory above the lowest layer is marked `overlay.impure`, so it may hold metacopies. */
  impure = false;

  constructor(layer: Layer, parent: RealDir | null, name: string) {
    this.layer = layer;
    this.parent = parent;
    this.name = name;
  }

  get isUpper(): boolean {
    return this.layer.kind === 'upper';
  }
}

/** Whether an upper directory is marked `overlay.impure`; read when first needed. */
export type Impure = 'unknown' | 'yes' | 'no';

/** What a directory has beyond a file. */
export class DirState {
  /**
   * The directories merged here, top first; never empty. The first is on upper once the directory was created there or copied
   * up. Two or more: a merge dir.
   */
  real: RealDir[];
  /** Inodes that the kernel knows, or that have such children, by name. */
  readonly children = new Map<string, Inode>();
  /** Built on demand, updated by our own changes, dropped when memory is short. */
  listing: Listing | null = null;
  impure: Impure = 'unknown';
  /** The `redirect` of the upper part; null: the lower parts are at its own path. */
  redirect: string | null = null;
  /** The directory was removed while something still referred to it: it lists as empty. */
  dead = false;

  constructor(real: RealDir[]) {
    this.real = real;
  }

  /** The part on upper; null before copy-up. The root of a read-only mount has one, too. */
  get upper(): RealDir | null {
    const top = this.real[0]!;
    return top.isUpper ? top : null;
  }
}

/** A file on one layer: an entry of a real directory. */
export interface RealFile {
  readonly dir: RealDir;
  readonly name: string;
}

/** The data of a metacopy. */
export interface LowerData extends RealFile {
  /** The metacopy's `redirect`; null: its lower part is at its own path. */
  redirect: string | null;
  /** The lower part has several links. */
  readonly hardLinked: boolean;
}

/** A lower file with several links while `index=on`: see link-index.ts. */
export interface LinkEntry {
  /** Key in `Overlay.lowerLinks`. */
  readonly key: string;
  /** Name in the index directory, where the copy is once there is one. */
  readonly name: string;
  /** Real link count of the lower file. */
  readonly lowerNlink: number;
  /** The union nlink, as seen by callers. */
  nlink: number;
}

/** One name at which an inode is linked: the kernel's dentry. */
export interface Alias {
  readonly parent: Inode;
  readonly name: string;
}

/**
 * One object of the merged view: what the kernel knows under a nodeid.
 *
 * Where its real object is:
 * - a directory: `dir.real`;
 * - on upper (`hasUpper`) with an `index`: in the index directory;
 * - on upper without an `index`: `name` in the parent's upper directory, or `orphan` when the last known name is gone;
 * - otherwise on a lower layer: `lowerDir` and `lowerName`, which never change.
 */
export class Inode {
  /** Set once, by the node table. */
  id: NodeId = 0 as NodeId;
  /** S_IFMT part of the mode; never changes. */
  readonly type: number;
  /** Number of references that the kernel holds. */
  nlookup = 0;
  /** First known name; `parent` is null for the root and when no name is left. */
  parent: Inode | null;
  name: string;
  /** false → true once, by copy-up; true from the start for what is found or created on upper. */
  hasUpper = false;
  /** Directory of the topmost lower object. null for directories and for what was found on upper. */
  lowerDir: RealDir | null = null;
  lowerName = '';
  /** Known to have no file capability, for which the kernel asks before the first write to a file. Maintained by xattrs.ts. */
  lacksCapability = false;
  /** Immutable or append-only, as bits of inode-flags.ts; -1: not read yet. The same before and after copy-up. */
  protection = -1;
  /** st_ino, constant over copy-up and rename; signed 32-bit halves. */
  inoLo = 0;
  inoHi = 0;
  readonly dir: DirState | null;
  /** What only few inodes have: half a million of those without it must fit into memory. */
  #rare: Rare | null = null;

  constructor(type: number, parent: Inode | null, name: string, dir: DirState | null) {
    this.type = type;
    this.parent = parent;
    this.name = name;
    this.dir = dir;
  }

  #makeRare(): Rare {
    this.#rare ??= new Rare();
    return this.#rare;
  }

  /** Further known names of a file with hard links. */
  get aliases(): Alias[] | null {
    return this.#rare === null ? null : this.#rare.aliases;
  }
  set aliases(to: Alias[] | null) {
    if (to !== null || this.#rare !== null) this.#makeRare().aliases = to;
  }

  /** Where the data is when the topmost object is a metacopy, which holds only metadata. Set → null once. */
  get data(): LowerData | null {
    return this.#rare === null ? null : this.#rare.data;
  }
  set data(to: LowerData | null) {
    if (to !== null || this.#rare !== null) this.#makeRare().data = to;
  }

  /** Owned descriptor of an upper object whose known names are, or once were, gone; -1: the object is reached by its name. */
  get orphan(): number {
    return this.#rare === null ? -1 : this.#rare.orphan;
  }
  set orphan(to: number) {
    if (to >= 0 || this.#rare !== null) this.#makeRare().orphan = to;
  }

  /** Key in `Overlay.upperLinks` of an upper file with several names; 0 otherwise. */
  get linkKey(): number {
    return this.#rare === null ? 0 : this.#rare.linkKey;
  }
  set linkKey(to: number) {
    if (to !== 0 || this.#rare !== null) this.#makeRare().linkKey = to;
  }

  /**
   * Set for a lower file with several links, and for its copy, while `index=on`; else null. With `hasUpper`, the object is in the
   * index directory, whatever its names are.
   */
  get index(): LinkEntry | null {
    return this.#rare === null ? null : this.#rare.index;
  }
  set index(to: LinkEntry | null) {
    if (to !== null || this.#rare !== null) this.#makeRare().index = to;
  }

  /** A copy-up whose data is being copied on a helper thread. */
  get pending(): PendingCopyUp | null {
    return this.#rare === null ? null : this.#rare.pending;
  }
  set pending(to: PendingCopyUp | null) {
    if (to !== null || this.#rare !== null) this.#makeRare().pending = to;
  }
}

class Rare {
  aliases: Alias[] | null = null;
  data: LowerData | null = null;
  orphan = -1;
  linkKey = 0;
  index: LinkEntry | null = null;
  pending: PendingCopyUp | null = null;
}

/** The directory state of an inode that is known to be a directory. */
export function dirOf(inode: Inode): DirState {
  return inode.dir as DirState;
}

/** Whether a directory is merged from several layers. */
export function isMerge(dir: DirState): boolean {
  return dir.real.length > 1;
}
