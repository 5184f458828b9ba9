/**
 * `plyfs squash`: several layers as one layer that does the same above whatever is below them. Whiteouts stay, and a
 * directory that hid something below becomes opaque.
 */
import { OwnXattrs, setMark } from '../overlay/own-xattrs.js';
import { UserError } from '../overlay/user-error.js';
import { WH_PREFIX } from '../overlay/whiteout.js';
import * as sys from '../sys/index.js';
import { buildDirectory } from './build.js';
import { copyAttributes, copyObject, type Original } from './copy.js';
import type { MergeResult } from './merge.js';
import { byBytes, check, type PathLike, quoted } from './text.js';
import {
  checkDepth,
  hiddenBy,
  isOpaqueDir,
  isWhiteoutAt,
  keepStat,
  linkAgain,
  listSorted,
  openSub,
  openTop,
  rawXattrs,
} from './tree.js';
import { usesUserXattrs } from './view.js';

/** The layers to squash, and the output. */
export interface SquashOptions {
  /** The layers, top first. */
  readonly layers: readonly PathLike[];
  /** A new directory. */
  readonly output: PathLike;
  readonly userxattr?: boolean | undefined;
  readonly onProgress?: ((objects: number) => void) | undefined;
}

/** A directory of one layer. */
interface Part {
  readonly fd: number;
  readonly layer: number;
  /** Names that it hides in the layers below by `.wh.` files. */
  readonly hidden: ReadonlySet<string>;
}

/** What the layers have at one name. */
interface Found {
  readonly part: Part;
  readonly stat: sys.Stat;
  readonly xattrs: ReadonlyMap<string, Buffer>;
  readonly isWhiteout: boolean;
}

const target = Buffer.alloc(sys.PATH_MAX);

class Squasher {
  objects = 0;
  bytes = 0;
  readonly #top: number;
  readonly #own: OwnXattrs;
  readonly #onProgress: ((objects: number) => void) | undefined;
  readonly #links = new Map<string, string>();

  constructor(top: number, own: OwnXattrs, onProgress: ((objects: number) => void) | undefined) {
    this.#top = top;
    this.#own = own;
    this.#onProgress = onProgress;
  }

  /** Merges directories, top first, into the open directory `dirfd`. Returns whether the result hides all below. */
  directory(parts: readonly Part[], dirfd: number, prefix: string): boolean {
    checkDepth(prefix);
    const used: Part[] = [];
    let isOpaque = false;
    for (const part of parts) {
      used.push(part);
      if (isOpaqueDir(part.fd, this.#own)) {
        isOpaque = true;
        break;
      }
    }
    const names = new Set<string>();
    for (const { fd, hidden } of used) {
      for (const { name } of listSorted(fd, prefix)) if (!name.startsWith(WH_PREFIX)) names.add(name);
      for (const name of hidden) names.add(name);
    }
    for (const name of [...names].sort(byBytes)) this.#name(used, dirfd, prefix, name, isOpaque);
    return isOpaque;
  }

  /** What a layer has at a name; null: nothing. */
  #look(part: Part, name: string, path: string): Found | null {
    const stat = new sys.Stat();
    const rc = sys.statx(part.fd, name, stat);
    if (rc === -sys.ENOENT) return null;
    check(rc, 'read', path);
    const xattrs = rawXattrs(part.fd, name);
    const isWhiteout = isWhiteoutAt(part.fd, name, stat, this.#own);
    for (const mark of [this.#own.redirect, this.#own.metacopy]) {
      if (!isWhiteout && xattrs.has(mark)) {
        throw new UserError(
          `'${quoted(path)}' has a part on a lower layer by ${mark}, which one layer can't express; use plyfs merge with all lowers.`,
        );
      }
    }
    return { part, stat, xattrs, isWhiteout };
  }

  #name(parts: readonly Part[], dirfd: number, prefix: string, name: string, isOpaque: boolean): void {
    const path = prefix + name;
    const dirs: Found[] = [];
    let hides = false;
    for (const part of parts) {
      const found = this.#look(part, name, path);
      const isDir = found !== null && !found.isWhiteout && (found.stat.mode & sys.S_IFMT) === sys.S_IFDIR;
      if (found !== null && !isDir) {
        if (dirs.length === 0) {
          this.#leaf(found, dirfd, name, path, isOpaque);
          return;
        }
        hides = true;
        break;
      }
      if (found !== null) dirs.push(found);
      // A `.wh.` file hides what is below its layer, not its sibling of that name.
      if (part.hidden.has(name)) {
        hides = true;
        break;
      }
    }
    if (dirs.length > 0) this.#directory(dirs, dirfd, name, path, hides && !isOpaque);
    else if (hides && !isOpaque) this.#whiteout(dirfd, name, path);
  }

  #whiteout(dirfd: number, name: string, path: string): void {
    this.objects++;
    check(sys.mknodat(dirfd, name, sys.S_IFCHR), 'create the whiteout', path);
  }

  #leaf(found: Found, dirfd: number, name: string, path: string, isOpaque: boolean): void {
    const { stat, part } = found;
    if (found.isWhiteout) {
      // What an opaque directory hides needs no whiteout.
      if (!isOpaque) this.#whiteout(dirfd, name, path);
      return;
    }
    this.#count();
    if (stat.nlink > 1) {
      const key = `${part.layer}:${sys.inodeNumber(stat)}`;
      const first = this.#links.get(key);
      if (first !== undefined) return void check(linkAgain(this.#top, first, dirfd, name), 'link', path);
      this.#links.set(key, path);
    }
    copyObject(this.#original(found, name, path), dirfd, name);
    if ((stat.mode & sys.S_IFMT) === sys.S_IFREG) this.bytes += stat.size;
  }

  #count(): void {
    this.objects++;
    this.#onProgress?.(this.objects);
  }

  #original({ part, stat, xattrs }: Found, name: string, path: string): Original {
    const kept = [...xattrs].filter(
      ([attribute]) =>
        !attribute.startsWith(this.#own.prefix) || attribute.startsWith(`${this.#own.prefix}overlay.`),
    );
    return {
      path,
      stat: keepStat(stat),
      xattrs: new Map(kept),
      target: () => target.latin1Slice(0, check(sys.readlinkat(part.fd, name, target), 'read', path)),
      open: () => sys.openat(part.fd, name, sys.O_RDONLY | sys.O_NOFOLLOW | sys.O_CLOEXEC | sys.O_NONBLOCK),
    };
  }

  #directory(dirs: readonly Found[], dirfd: number, name: string, path: string, hides: boolean): void {
    const original = this.#original(dirs[0]!, name, path);
    copyObject(original, dirfd, name);
    this.#count();
    using parts = new Parts();
    for (const { part } of dirs) parts.add(check(openSub(part.fd, name), 'open', path), part.layer, path);
    const fd = check(openSub(dirfd, name), 'open', path);
    try {
      const isOpaque = this.directory(parts.all, fd, `${path}/`);
      if (isOpaque || hides) check(setMark(fd, '', this.#own.opaque), 'mark', path);
    } finally {
      sys.close(fd);
    }
    copyAttributes(original, dirfd, name);
  }
}

/** The parts of one directory, open until they are disposed of. */
class Parts implements Disposable {
  readonly all: Part[] = [];

  /** Takes the descriptor `fd` of a directory. */
  add(fd: number, layer: number, path: string): void {
    const hidden = new Set<string>();
    this.all.push({ fd, layer, hidden });
    for (const { name } of listSorted(fd, path)) {
      const one = hiddenBy(name);
      if (one !== null) hidden.add(one);
    }
  }

  [Symbol.dispose](): void {
    for (const { fd } of this.all) sys.close(fd);
  }
}

/** Makes one layer of several. Throws a UserError, and leaves no output then. */
export function squash(options: SquashOptions): MergeResult {
  const { layers, output, onProgress } = options;
  if (layers.length === 0) throw new UserError('no layer is given; name at least one.');
  const own = new OwnXattrs(usesUserXattrs({ lower: layers, userxattr: options.userxattr }));
  using parts = new Parts();
  for (const [i, layer] of layers.entries()) parts.add(openTop(layer, 'layer'), i, '.');
  const read = parts.all.map(({ fd }) => fd);
  return buildDirectory(output, read, (top) => {
    const squasher = new Squasher(top, own, onProgress);
    if (squasher.directory(parts.all, top, '')) check(setMark(top, '', own.opaque), 'mark', '.');
    const stat = new sys.Stat();
    check(sys.fstatx(parts.all[0]!.fd, stat), 'read', '.');
    const nothing = { path: '.', xattrs: new Map(), target: () => '', open: () => -1 };
    copyAttributes({ ...nothing, stat }, top, '.');
    return { objects: squasher.objects, bytes: squasher.bytes };
  });
}
