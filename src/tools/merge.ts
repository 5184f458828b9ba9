/** `plyfs merge`: the merged view of layers as one plain directory, without whiteouts and marks. */
import type { Inode } from '../overlay/inode.js';
import * as sys from '../sys/index.js';
import { buildDirectory } from './build.js';
import { copyAttributes, copyObject, type Original } from './copy.js';
import { check, type PathLike } from './text.js';
import { checkDepth, keepStat, linkAgain, openSub } from './tree.js';
import { type Stack, View } from './view.js';

/** The stack to copy, and where to. */
export interface MergeOptions extends Stack {
  /** A new directory. */
  readonly output: PathLike;
  readonly onProgress?: ((objects: number) => void) | undefined;
}

/** How many objects were made, and the bytes of their data. */
export interface MergeResult {
  readonly objects: number;
  readonly bytes: number;
}

class Merger {
  objects = 0;
  bytes = 0;
  readonly #view: View;
  readonly #top: number;
  readonly #onProgress: ((objects: number) => void) | undefined;
  /** First name of each file that has several. */
  readonly #links = new Map<string, string>();

  constructor(view: View, top: number, onProgress: ((objects: number) => void) | undefined) {
    this.#view = view;
    this.#top = top;
    this.#onProgress = onProgress;
  }

  run(): void {
    const original = this.#original(this.#view.root, '.');
    this.#directory(this.#view.root, this.#top, '');
    copyAttributes(original, this.#top, '.');
  }

  #original(inode: Inode, path: string): Original {
    const view = this.#view;
    return {
      path,
      stat: keepStat(view.statOf(inode, path)),
      xattrs: view.xattrs(inode),
      target: () => view.target(inode, path),
      open: () => sys.dup(view.data(inode, path)),
    };
  }

  #directory(inode: Inode, dirfd: number, prefix: string): void {
    checkDepth(prefix);
    for (const name of this.#view.names(inode, prefix)) {
      const path = prefix + name;
      const child = this.#view.find(inode, name, path);
      if (child === null) continue;
      this.#object(child, dirfd, name, path);
      this.#view.drop(child);
    }
  }

  #object(inode: Inode, dirfd: number, name: string, path: string): void {
    const original = this.#original(inode, path);
    const { stat } = original;
    this.objects++;
    this.#onProgress?.(this.objects);
    if (inode.dir === null && this.#isLinked(stat, dirfd, name, path)) return;
    copyObject(original, dirfd, name);
    if (inode.type === sys.S_IFREG) this.bytes += stat.size;
    if (inode.dir === null) return;
    const fd = check(openSub(dirfd, name), 'open', path);
    try {
      this.#directory(inode, fd, `${path}/`);
    } finally {
      sys.close(fd);
    }
    copyAttributes(original, dirfd, name);
  }

  /** Makes a further name of a file that is there already. */
  #isLinked(stat: sys.Stat, dirfd: number, name: string, path: string): boolean {
    if (stat.nlink < 2) return false;
    const key = `${stat.devMajor}:${stat.devMinor}:${sys.inodeNumber(stat)}`;
    const first = this.#links.get(key);
    if (first === undefined) this.#links.set(key, path);
    else check(linkAgain(this.#top, first, dirfd, name), 'link', path);
    return first !== undefined;
  }
}

/** Copies what a mount of the layers would show into a new directory. Throws a UserError; then there is none. */
export function merge(options: MergeOptions): MergeResult {
  using view = View.open(options);
  const layers = view.layers.map(({ root }) => root);
  return buildDirectory(options.output, layers, (top) => {
    const merger = new Merger(view, top, options.onProgress);
    merger.run();
    return { objects: merger.objects, bytes: merger.bytes };
  });
}
