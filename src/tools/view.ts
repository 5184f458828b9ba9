/** A stack of layers opened for reading: the merged view, by the same code that serves mounts. */
import { absolutePath } from '../overlay/absolute-path.js';
import type { Layer, OpenedLayers, OverlayOptions } from '../overlay/config.js';
import { dataFd } from '../overlay/file.js';
import type { Inode } from '../overlay/inode.js';
import { closeLayers, mayUseTrusted, openLayers } from '../overlay/layers.js';
import { locate, statInode } from '../overlay/locate.js';
import { find, forget, makeRoot } from '../overlay/lookup.js';
import { readOrigin } from '../overlay/marks.js';
import { listingOf } from '../overlay/merge.js';
import { DEFAULTS } from '../overlay/option-table.js';
import { decodeOrigin } from '../overlay/origin.js';
import { Overlay } from '../overlay/state.js';
import { UserError } from '../overlay/user-error.js';
import { getxattr, listxattr } from '../overlay/xattrs.js';
import * as sys from '../sys/index.js';
import { FsError } from '../vfs/errors.js';
import { byBytes, type PathLike, pathBytes, quoted } from './text.js';

/** The layers given to a tool. */
export interface Stack {
  /** Lower directories, top first. */
  readonly lower: readonly PathLike[];
  readonly upper?: PathLike | null | undefined;
  /** Data-only lowers, top first. */
  readonly data?: readonly PathLike[] | undefined;
  /** The layers are marked by `user.overlay.*` xattrs; detected when not given. */
  readonly userxattr?: boolean | undefined;
}

const NO_SERVICES = {
  jobs: {
    start: (): number => {
      throw new Error('a read-only view starts no job');
    },
    take: () => null,
    resumed: 0,
  },
  notify: { attributes: () => {}, listing: () => {} },
  log: { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} },
  dataMode: 'cached',
} as const;

/** A path from the root; latin1. */
export function absolute(path: PathLike): string {
  return absolutePath(pathBytes(path));
}

/** Whether the root of a layer carries marks of one namespace. */
function hasMarks(path: string, prefix: string): boolean {
  const fd = sys.openat(sys.AT_FDCWD, path, sys.O_PATH | sys.O_DIRECTORY | sys.O_CLOEXEC);
  if (fd < 0) return false;
  const names = sys.xattrNames(fd, '');
  sys.close(fd);
  return typeof names !== 'number' && names.some((name) => name.startsWith(prefix));
}

/** Whether a stack uses `user.overlay.*`: as given, else as its upper shows, else by what this user may read. */
export function usesUserXattrs(stack: Stack): boolean {
  if (stack.userxattr !== undefined) return stack.userxattr;
  if (!mayUseTrusted()) return true;
  const top = stack.upper ?? stack.lower[0];
  if (top === undefined || top === null) return false;
  const path = absolute(top);
  return hasMarks(path, 'user.overlay.') && !hasMarks(path, 'trusted.overlay.');
}

/** The merged view of a stack, and its layers; read-only. */
export class View {
  readonly ov: Overlay;
  readonly root: Inode;
  readonly #opened: OpenedLayers;

  private constructor(opened: OpenedLayers) {
    this.#opened = opened;
    this.ov = new Overlay(opened, NO_SERVICES, sys.freeDescriptors() + opened.descriptors.length);
    this.root = makeRoot(this.ov);
  }

  /**
   * Opens a stack; throws a {@link UserError}. Nothing is locked and nothing is written, so it may be mounted. `topIsUpper`: the
   * first lower is the upper of a stack.
   */
  static open(stack: Stack, topIsUpper = false): View {
    const userxattr = usesUserXattrs(stack);
    const upper = stack.upper ?? null;
    // An upper alone is read like any other layer.
    const alone = upper !== null && stack.lower.length === 0;
    const options: OverlayOptions = {
      ...DEFAULTS,
      lowerdir: (alone ? [upper] : stack.lower).map(absolute),
      datadir: (stack.data ?? []).map(absolute),
      upperdir: upper === null || alone ? null : absolute(upper),
      readOnly: true,
      userxattr,
      metacopy: !userxattr,
      redirectDir: userxattr ? 'nofollow' : 'on',
    };
    const opened = openLayers(options, topIsUpper);
    try {
      return new View(opened);
    } catch (error) {
      closeLayers(opened);
      throw error;
    }
  }

  [Symbol.dispose](): void {
    this.ov.dispose();
    closeLayers(this.#opened);
  }

  /** All layers, top first. */
  get layers(): readonly Layer[] {
    return this.#opened.layers;
  }

  /** The inode of `name`, null when the merged view has none; its attributes are in {@link stat}. */
  find(parent: Inode, name: string, path: string): Inode | null {
    return this.#explained(path, () => find(this.ov, parent, name));
  }

  /** Attributes of the inode that was found or looked at last. */
  get stat(): sys.Stat {
    return this.ov.stat;
  }

  statOf(inode: Inode, path: string): sys.Stat {
    this.#explained(path, () => statInode(this.ov, inode));
    return this.ov.stat;
  }

  /** Names that callers see in a directory, in byte order. */
  names(inode: Inode, path: string): string[] {
    const listing = this.#explained(path, () => listingOf(this.ov, inode));
    const names = listing.names.filter((name, i): name is string => name !== null && listing.isVisibleAt(i));
    return names.sort(byBytes);
  }

  /** A descriptor of a file's data, valid until the next one is opened. */
  data(inode: Inode, path: string): number {
    return this.#explained(path, () => dataFd(this.ov, inode, false));
  }

  target(inode: Inode, path: string): string {
    locate(this.ov, inode);
    const into = this.ov.scratch;
    const rc = sys.readlinkat(this.ov.atFd, this.ov.atName, into);
    if (rc < 0) throw failed(path, rc, 'readlinkat');
    return into.latin1Slice(0, rc);
  }

  /** File handle of an object, as text to compare; null where there are none. */
  handle(inode: Inode): string | null {
    locate(this.ov, inode);
    const handle = sys.nameToHandle(this.ov.atFd, this.ov.atName);
    return typeof handle === 'number' ? null : `${handle.type}:${handle.bytes.toString('hex')}`;
  }

  /** The same of the object that this one records as its origin. */
  origin(inode: Inode): string | null {
    locate(this.ov, inode);
    const blob = readOrigin(this.ov, this.ov.atFd, this.ov.atName);
    const handle = (blob === null ? null : decodeOrigin(blob))?.handle;
    return handle === undefined ? null : `${handle.type}:${handle.bytes.toString('hex')}`;
  }

  /** Extended attributes as callers of a mount see them: without the overlay's own. */
  xattrs(inode: Inode): Map<string, Buffer> {
    const found = new Map<string, Buffer>();
    const names = Buffer.alloc(sys.XATTR_LIST_MAX);
    const length = listxattr(this.ov, inode, 0, names, names.length);
    if (length < 0 && length !== -sys.EOPNOTSUPP) throw failed(inode.name, length, 'listxattr');
    const value = Buffer.alloc(sys.XATTR_SIZE_MAX);
    for (const name of length > 0
      ? names
          .latin1Slice(0, length - 1)
          .split('\0')
          .sort(byBytes)
      : []) {
      const size = getxattr(this.ov, inode, name, value, value.length);
      if (size >= 0) found.set(name, Buffer.from(value.subarray(0, size)));
    }
    return found;
  }

  /** The inode at a path from the root; null when a part of it is not there. */
  resolve(path: string): Inode | null {
    let at: Inode = this.root;
    for (const name of path.split('/').filter((part) => part !== '')) {
      if (at.dir === null) return null;
      const next = this.find(at, name, path);
      if (next === null) return null;
      at = next;
    }
    return at;
  }

  /** Frees an inode that is no longer needed, so that memory does not grow with the tree. */
  drop(inode: Inode): void {
    forget(this.ov, inode, 0);
  }

  #explained<T>(path: string, work: () => T): T {
    try {
      return work();
    } catch (error) {
      if (error instanceof FsError) throw failed(path, -error.errno, error.what);
      throw error;
    }
  }
}

function failed(path: string, rc: number, what: string): UserError {
  const where = what === '' ? '' : ` (${what})`;
  return new UserError(
    `'/${quoted(path.replace(/^\//, ''))}' can't be read: the layers say ${sys.errnoName(rc)}${where}.`,
  );
}
