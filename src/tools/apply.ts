/** Applies an upper to the directory below it: what `plyfs run --commit` does. */

import { OwnXattrs } from '../overlay/own-xattrs.js';
import { removeTree } from '../overlay/remove-tree.js';
import { UserError } from '../overlay/user-error.js';
import { WH_PREFIX } from '../overlay/whiteout.js';
import * as sys from '../sys/index.js';
import { copyAttributes, copyObject, type Original } from './copy.js';
import { check, type PathLike, quoted } from './text.js';
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

/** Options of {@link apply}. */
export interface ApplyOptions {
  readonly upper: PathLike;
  /** The directory to change. */
  readonly to: PathLike;
  readonly userxattr?: boolean | undefined;
}

const target = Buffer.alloc(sys.PATH_MAX);
const TEMPORARY = '.plyfs-apply-tmp';

function isDirectory(dirfd: number, name: string): boolean {
  const stat = new sys.Stat();
  return sys.statx(dirfd, name, stat) === 0 && (stat.mode & sys.S_IFMT) === sys.S_IFDIR;
}

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
    checkDepth(prefix);
    const names = listSorted(from, prefix).map(({ name }) => name);
    // `.wh.` files first: upper may hold a new object of the name that one hides.
    for (const name of names.map(hiddenBy)) if (name !== null) this.#whiteout(to, name, prefix + name);
    for (const name of names) if (!name.startsWith(WH_PREFIX)) this.#entry(from, to, name, prefix + name);
  }

  #whiteout(to: number, name: string, path: string): void {
    this.objects++;
    check(removeTree(to, name), 'remove', path);
  }

  #entry(from: number, to: number, name: string, path: string): void {
    const stat = new sys.Stat();
    check(sys.statx(from, name, stat), 'read', path);
    if (isWhiteoutAt(from, name, stat, this.#own)) return void this.#whiteout(to, name, path);
    this.objects++;
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
    if ((stat.mode & sys.S_IFMT) === sys.S_IFDIR) this.#directory(original, from, to, name);
    else this.#leaf(original, to, name);
  }

  /** Builds the object under a temporary name, then renames it: observers see the old or the new one, even on a full disk. */
  #leaf(original: Original, to: number, name: string): void {
    removeTree(to, TEMPORARY);
    try {
      this.#replace(original, to, name);
    } finally {
      // It failed, or both are names of one file, in which case rename(2) does nothing.
      sys.unlinkat(to, TEMPORARY);
    }
  }

  #replace(original: Original, to: number, name: string): void {
    const { path, stat } = original;
    const first = stat.nlink > 1 ? this.#links.get(sys.inodeNumber(stat)) : undefined;
    if (first === undefined) copyObject(original, to, TEMPORARY);
    else check(linkAgain(this.#top, first, to, TEMPORARY), 'link', path);
    if (isDirectory(to, name)) check(removeTree(to, name), 'replace', path);
    // commit point
    check(sys.renameat2(to, TEMPORARY, to, name), 'replace', path);
    if (stat.nlink > 1 && first === undefined) this.#links.set(sys.inodeNumber(stat), path);
  }

  #directory(original: Original, from: number, to: number, name: string): void {
    const { path } = original;
    const fromFd = check(openSub(from, name), 'open', path);
    let toFd = -1;
    try {
      if (!isDirectory(to, name) || isOpaqueDir(fromFd, this.#own)) {
        check(removeTree(to, name), 'replace', path);
        copyObject(original, to, name);
      }
      toFd = check(openSub(to, name), 'open', path);
      this.directory(fromFd, toFd, `${path}/`);
      copyAttributes(original, to, name);
    } finally {
      sys.close(fromFd);
      if (toFd >= 0) sys.close(toFd);
    }
  }
}

/** Applies the changes in `upper` to `to`; everything else in `to` stays. Throws a UserError. */
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
