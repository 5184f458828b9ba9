/** `plyfs layers`: what each layer contains, which part of it is visible, and which is shadowed and so wasted. */
import type { Layer } from '../overlay/config.js';
import type { Inode, RealDir } from '../overlay/inode.js';
import type { OwnXattrs } from '../overlay/own-xattrs.js';
import { UserError } from '../overlay/user-error.js';
import { WH_PREFIX } from '../overlay/whiteout.js';
import * as sys from '../sys/index.js';
import { shown } from './text.js';
import { checkDepth, isWhiteoutAt, openAgain, rawXattr, walkTree } from './tree.js';
import { type Stack, View } from './view.js';

/** A file and its space on disk. */
export interface FileSize {
  readonly path: string;
  readonly bytes: number;
}

/** Contents of one layer. Sizes are in bytes. */
export interface LayerSizes {
  /** 0 is the topmost. */
  readonly layer: number;
  readonly kind: Layer['kind'];
  readonly directory: string;
  readonly files: number;
  readonly directories: number;
  readonly others: number;
  readonly whiteouts: number;
  /** Sum of file sizes; a file with several names counts once. */
  readonly bytes: number;
  /** Space allocated on disk for files. */
  readonly allocated: number;
  /** Files that callers of the merged view do not see, and their bytes. */
  readonly shadowedFiles: number;
  readonly shadowedBytes: number;
  /** The largest files, and the largest that are shadowed. */
  readonly largest: readonly FileSize[];
  readonly largestShadowed: readonly FileSize[];
}

/** A directory of the merged view with the bytes below it. */
export interface SizeTree {
  readonly name: string;
  readonly bytes: number;
  /** Layer that most of the bytes come from. */
  readonly layer: number;
  readonly children: readonly SizeTree[];
}

/** Result of {@link layers}. Sizes are in bytes. */
export interface LayersResult {
  readonly layers: readonly LayerSizes[];
  /** Files that callers see, and their bytes: the size of the merged view. */
  readonly visibleFiles: number;
  readonly visibleBytes: number;
  /** Bytes of all layers together. */
  readonly bytes: number;
  /** The shadowed part of that. */
  readonly shadowedBytes: number;
  /** Paths in the merged view that can't be read and are not counted. */
  readonly unreadable: readonly string[];
  /** The merged view by size, with small objects grouped. Only on request. */
  readonly tree?: SizeTree;
}

/** The stack to measure, and what to report. */
export interface LayersOptions extends Stack {
  /** How many of the largest files to name. */
  readonly top?: number;
  /** Add the merged view by size. */
  readonly tree?: boolean;
}

interface Node {
  readonly name: string;
  bytes: number;
  readonly byLayer: Map<number, number>;
  readonly children: Node[];
}

/** Walks through the merged view and records on which layer each file's data is. */
class Visible {
  /** Inode keys of the visible files, by layer. */
  readonly used = new Map<number, Set<number>>();
  files = 0;
  bytes = 0;
  readonly unreadable: string[] = [];
  readonly #view: View;
  readonly #stat = new sys.Stat();

  constructor(view: View) {
    this.#view = view;
    for (const { index } of view.layers) this.used.set(index, new Set());
  }

  /** Everything below a directory. `path`: from the root, with a slash at the end unless it is the root. */
  directory(inode: Inode, path: string, into: Node): void {
    checkDepth(path);
    for (const name of this.#readable(path, () => this.#view.names(inode, path)) ?? []) {
      const child = this.#readable(path + name, () => this.#view.find(inode, name, path + name));
      if (child === null) continue;
      if (child.dir !== null) {
        const node: Node = { name, bytes: 0, byLayer: new Map(), children: [] };
        this.directory(child, `${path}${name}/`, node);
        into.children.push(node);
        add(into, node.bytes, node.byLayer);
      } else this.#file(child, name, into);
      this.#view.drop(child);
    }
  }

  /** Result of `look`; null for objects that callers can't read either, such as a metacopy of another overlay. */
  #readable<T>(path: string, look: () => T): T | null {
    try {
      return look();
    } catch (error) {
      if (!(error instanceof UserError)) throw error;
      this.unreadable.push(shown(path));
      return null;
    }
  }

  #file(inode: Inode, name: string, into: Node): void {
    const { stat, layers } = this.#view;
    const top = inode.hasUpper ? layers[0]! : inode.lowerDir!.layer;
    const isNew = this.#use(top, sys.inodeNumber(stat));
    if (inode.type !== sys.S_IFREG) return;
    this.files++;
    let layer = top;
    if (inode.data !== null) {
      layer = inode.data.dir.layer;
      if (sys.statx(this.#dirFd(inode.data.dir), inode.data.name, this.#stat) === 0)
        this.#use(layer, sys.inodeNumber(this.#stat));
    }
    if (!isNew) return;
    this.bytes += stat.size;
    const node: Node = { name, bytes: stat.size, byLayer: new Map([[layer.index, stat.size]]), children: [] };
    into.children.push(node);
    add(into, node.bytes, node.byLayer);
  }

  #dirFd(dir: RealDir): number {
    return this.#view.ov.dirs.fd(dir);
  }

  /** Records a file; false when another of its names was recorded before. */
  #use(layer: Layer, key: number): boolean {
    const set = this.used.get(layer.index)!;
    if (set.has(key)) return false;
    set.add(key);
    return true;
  }
}

function add(node: Node, bytes: number, byLayer: ReadonlyMap<number, number>): void {
  node.bytes += bytes;
  for (const [layer, part] of byLayer) node.byLayer.set(layer, (node.byLayer.get(layer) ?? 0) + part);
}

/** The `limit` largest of many. */
class Largest {
  readonly #limit: number;
  #kept: FileSize[] = [];

  constructor(limit: number) {
    this.#limit = limit;
  }

  add(path: string, bytes: number): void {
    if (bytes === 0 || this.#limit === 0) return;
    if (this.#kept.length >= this.#limit && bytes <= this.#kept.at(-1)!.bytes) return;
    this.#kept.push({ path: shown(path), bytes });
    this.#kept.sort((a, b) => b.bytes - a.bytes);
    this.#kept = this.#kept.slice(0, this.#limit);
  }

  get list(): readonly FileSize[] {
    return this.#kept;
  }
}

/** Everything in one layer, visible or not. */
function measure(layer: Layer, used: ReadonlySet<number>, top: number, own: OwnXattrs): LayerSizes {
  const sums = { files: 0, directories: 0, others: 0, whiteouts: 0, bytes: 0, allocated: 0 };
  const shadowed = { shadowedFiles: 0, shadowedBytes: 0 };
  const largest = new Largest(top);
  const largestShadowed = new Largest(top);
  const seen = new Set<number>();
  const fd = openAgain(layer.root, layer.path);
  try {
    walkTree(fd, ({ dirfd, name, path, type }, stat) => {
      if (isWhiteoutAt(dirfd, name, stat, own) || (name.startsWith(WH_PREFIX) && type === sys.S_IFREG))
        sums.whiteouts++;
      else if (type === sys.S_IFDIR) sums.directories++;
      else if (type !== sys.S_IFREG) sums.others++;
      else {
        sums.files++;
        const key = sys.inodeNumber(stat);
        if (stat.nlink > 1 && seen.has(key)) return true;
        if (stat.nlink > 1) seen.add(key);
        // A metacopy has the size of its data but not the data.
        if (stat.blocks === 0 && stat.size > 0 && rawXattr(dirfd, name, own.metacopy) !== null) return true;
        sums.bytes += stat.size;
        sums.allocated += stat.blocks * 512;
        largest.add(path, stat.size);
        if (used.has(key)) return true;
        shadowed.shadowedFiles++;
        shadowed.shadowedBytes += stat.size;
        largestShadowed.add(path, stat.size);
      }
      return true;
    });
  } finally {
    sys.close(fd);
  }
  return {
    layer: layer.index,
    kind: layer.kind,
    directory: shown(layer.path),
    ...sums,
    ...shadowed,
    largest: largest.list,
    largestShadowed: largestShadowed.list,
  };
}

/** Objects smaller than this part of the whole are grouped under one name. */
const SMALL = 1 / 2000;

function toTree(node: Node, total: number): SizeTree {
  const floor = total * SMALL;
  const big = node.children.filter((child) => child.bytes > 0 && child.bytes >= floor);
  const rest: Node = { name: '(small)', bytes: 0, byLayer: new Map(), children: [] };
  for (const child of node.children) if (!big.includes(child)) add(rest, child.bytes, child.byLayer);
  const shownNodes = rest.bytes > 0 ? [...big, rest] : big;
  const [layer = 0] = [...node.byLayer].sort((a, b) => b[1] - a[1])[0] ?? [];
  return {
    name: shown(node.name),
    bytes: node.bytes,
    layer,
    children: shownNodes.map((child) => toTree(child, total)).sort((a, b) => b.bytes - a.bytes),
  };
}

/** Measures all layers of a stack. Throws a UserError. */
export function layers(options: LayersOptions): LayersResult {
  using view = View.open(options);
  const visible = new Visible(view);
  const root: Node = { name: '/', bytes: 0, byLayer: new Map(), children: [] };
  visible.directory(view.root, '', root);
  const measured = view.layers.map((layer) =>
    measure(layer, visible.used.get(layer.index)!, options.top ?? 5, view.ov.own),
  );
  const sum = (of: (sizes: LayerSizes) => number): number =>
    measured.reduce((total, one) => total + of(one), 0);
  return {
    layers: measured,
    visibleFiles: visible.files,
    visibleBytes: visible.bytes,
    bytes: sum(({ bytes }) => bytes),
    shadowedBytes: sum(({ shadowedBytes }) => shadowedBytes),
    unreadable: visible.unreadable,
    ...(options.tree === true ? { tree: toTree(root, root.bytes) } : {}),
  };
}
