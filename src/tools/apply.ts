/** Applies an upper to the directory below it: what `plyfs run --commit` does. */
import { OwnXattrs } from '../overlay/marks.js';
import { UserError } from '../overlay/user-error.js';
import * as sys from '../sys/index.js';
import { copyAttributes, copyObject, keepStat, type Original } from './copy.js';
import { check, type PathLike, quoted } from './text.js';
import { inodeKey, listSorted, openSub, openTop, rawXattrs, removeTree } from './tree.js';
import { usesUserXattrs } from './view.js';

export interface ApplyOptions {
  readonly upper: PathLike;
  /** The directory to change. */
  readonly to: PathLike;
  readonly userxattr?: boolean | undefined;
}

const target = Buffer.alloc(sys.PATH_MAX);
const TEMPORARY = '.plyfs-apply-tmp';

class Applier {
  objects = 0;
  readonly #own: OwnXattrs;
  readonly #top: number;
  readonly #links = new Map<number, string>();

  constructor(top: number, own: OwnXattrs) {
    this.#top = top;
    this.#own = own;
  }

  directory(from: number, to: number, prefix: string): void {
    for (const { name } of listSorted(from, prefix)) this.#entry(from, to, name, prefix + name);
  }

  #entry(from: number, to: number, name: string, path: string): void {
    const stat = new sys.Stat();
    check(sys.statx(from, name, stat), 'read', path);
    this.objects++;
    if (stat.isWhiteout) return void check(removeTree(to, name), 'remove', path);
    const marks = rawXattrs(from, name);
    if (marks.has(this.#own.redirect) || marks.has(this.#own.metacopy)) {
      throw new UserError(
        `'${quoted(path)}' has a part on the lower layer by a redirect or a metacopy, which can't be applied.`,
      );
    }
    const kept = [...marks].filter(([attribute]) => !attribute.startsWith(this.#own.prefix));
    const original: Original = {
      path,
      stat: keepStat(stat),
      xattrs: new Map(kept),
      target: () => target.latin1Slice(0, check(sys.readlinkat(from, name, target), 'read', path)),
      open: () => sys.openat(from, name, sys.O_RDONLY | sys.O_NOFOLLOW | sys.O_CLOEXEC | sys.O_NONBLOCK),
    };
    const isOpaque = marks.get(this.#own.opaque)?.latin1Slice() === 'y';
    if ((stat.mode & sys.S_IFMT) === sys.S_IFDIR) this.#directory(original, from, to, name, isOpaque);
    else this.#leaf(original, to, name);
  }

  /** Made aside, then renamed: whoever looks sees the old object or the new one. */
  #leaf(original: Original, to: number, name: string): void {
    const { path, stat } = original;
    removeTree(to, TEMPORARY);
    const first = stat.nlink > 1 ? this.#links.get(inodeKey(stat)) : undefined;
    if (first === undefined) copyObject(original, to, TEMPORARY);
    else check(sys.linkat(this.#top, first, to, TEMPORARY), 'link', path);
    const there = new sys.Stat();
    const isDir = sys.statx(to, name, there) === 0 && (there.mode & sys.S_IFMT) === sys.S_IFDIR;
    if (isDir) check(removeTree(to, name), 'replace', path);
    // commit point
    check(sys.renameat2(to, TEMPORARY, to, name), 'replace', path);
    // Names of one file: rename(2) does nothing and leaves the temporary one.
    sys.unlinkat(to, TEMPORARY);
    if (stat.nlink > 1 && first === undefined) this.#links.set(inodeKey(stat), path);
  }

  #directory(original: Original, from: number, to: number, name: string, isOpaque: boolean): void {
    const { path } = original;
    const there = new sys.Stat();
    const isDir = sys.statx(to, name, there) === 0 && (there.mode & sys.S_IFMT) === sys.S_IFDIR;
    if (!isDir || isOpaque) {
      check(removeTree(to, name), 'replace', path);
      copyObject(original, to, name);
    }
    const fromFd = check(openSub(from, name), 'open', path);
    const toFd = openSub(to, name);
    try {
      this.directory(fromFd, check(toFd, 'open', path), `${path}/`);
      copyAttributes(original, to, name);
    } finally {
      sys.close(fromFd);
      if (toFd >= 0) sys.close(toFd);
    }
  }
}

/** Changes `to` as the upper says; whatever the upper does not mention stays. Throws a UserError. */
export function apply({ upper, to, userxattr }: ApplyOptions): { readonly objects: number } {
  const own = new OwnXattrs(usesUserXattrs({ lower: [upper], userxattr }));
  const from = openTop(upper, 'upper directory');
  try {
    const top = openTop(to, 'lower directory');
    try {
      const applier = new Applier(top, own);
      applier.directory(from, top, '');
      return { objects: applier.objects };
    } finally {
      sys.close(top);
    }
  } finally {
    sys.close(from);
  }
}
