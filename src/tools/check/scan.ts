/** What is wrong in one layer by itself. */

import { decodeOrigin } from '../../overlay/origin.js';
import { parseOverride } from '../../overlay/override-stat.js';
import { FOREIGN_OPAQUE, setMark } from '../../overlay/own-xattrs.js';
import { removeTree } from '../../overlay/remove-tree.js';
import { WH_OPAQUE, WH_PREFIX, WH_RESERVED } from '../../overlay/whiteout.js';
import * as sys from '../../sys/index.js';
import { OVERRIDES, openSub, rawXattrs, type TreeEntry, walkTree } from '../tree.js';
import type { Findings } from './finding.js';
import { markContains, replaceOpaque, replaceWhiteout, type WhiteoutForm } from './forms.js';
import type { Nested } from './nested.js';

const REDIRECT_MAX = 256;

/** Why a redirect can't be followed; null when it can (ovl_check_redirect()). */
export function redirectProblem(redirect: string): string | null {
  if (redirect.length > REDIRECT_MAX) return `is longer than ${REDIRECT_MAX} bytes`;
  const isAbsolute = redirect.startsWith('/');
  const parts = (isAbsolute ? redirect.slice(1) : redirect).split('/');
  if (redirect.includes('\0')) return 'has a NUL byte';
  if (!isAbsolute && parts.length > 1) return 'is a path that does not start at the root';
  if (parts.includes('')) return 'has an empty component';
  return parts.some((part) => part === '.' || part === '..') ? "has a '.' or '..' component" : null;
}

/** Runs `work` on the subdirectory `name`. Returns 0 or -errno. */
function within(dirfd: number, name: string, work: (fd: number) => number): number {
  const fd = openSub(dirfd, name);
  if (fd < 0) return fd;
  const rc = work(fd);
  sys.close(fd);
  return rc;
}

/** A directory that is checked after its entries. */
interface Directory {
  readonly marks: ReadonlyMap<string, Buffer>;
  hasOrigins: boolean;
  hasUnmarked: boolean;
}

/** How a layer is checked. */
export interface ScanOptions {
  /** The desired form of whiteouts and opaque marks. */
  readonly form: WhiteoutForm;
  readonly isUpper: boolean;
  /** What is left out of it. */
  readonly nested: Nested;
}

/** Goes through one layer and reports problems that do not depend on the layers below. */
export class Scan {
  readonly #findings: Findings;
  readonly #nested: Nested;
  readonly #form: WhiteoutForm;
  readonly #isUpper: boolean;
  /** The directories from the top to where the walk is. */
  readonly #directories = new Map<string, Directory>();

  constructor(findings: Findings, how: ScanOptions) {
    this.#findings = findings;
    this.#nested = how.nested;
    this.#form = how.form;
    this.#isUpper = how.isUpper;
  }

  run(): void {
    const { top } = this.#findings;
    this.#directory('', rawXattrs(top, ''));
    walkTree(top, (entry, stat) => {
      if (this.#nested.has(entry.dirfd, entry.name)) return false;
      this.#visit(entry, stat);
      return true;
    });
    for (const [path, directory] of this.#directories) this.#afterDirectory(path, directory);
  }

  #visit(entry: TreeEntry, stat: sys.Stat): void {
    if (stat.isWhiteout) this.#whiteout(entry, 'chardev');
    else if (entry.name.startsWith(WH_PREFIX)) this.#aufs(entry);
    else this.#object(entry, rawXattrs(entry.dirfd, entry.name), stat);
  }

  #object(entry: TreeEntry, marks: ReadonlyMap<string, Buffer>, stat: sys.Stat): void {
    const { path, type } = entry;
    const { own } = this.#findings;
    if (type === sys.S_IFREG && stat.size === 0 && marks.has(own.whiteout)) {
      const parent = this.#parent(path);
      if (!this.#isUpper || this.#form === 'xattr')
        parent.hasUnmarked ||= !['x', 'y'].includes(this.#opaqueOf(parent.marks));
      this.#whiteout(entry, 'xattr');
      return;
    }
    const isRenamed = type === sys.S_IFDIR && marks.has(own.redirect);
    if (marks.has(own.origin) || isRenamed) this.#parent(path).hasOrigins = true;
    this.#marks(path, type, marks);
    if (type === sys.S_IFDIR) this.#directory(path, marks);
  }

  #parent(path: string): Directory {
    const slash = path.lastIndexOf('/');
    return this.#directories.get(slash < 0 ? '' : path.slice(0, slash))!;
  }

  #directory(path: string, marks: ReadonlyMap<string, Buffer>): void {
    this.#directories.set(path, { marks, hasOrigins: false, hasUnmarked: false });
  }

  #opaqueOf(marks: ReadonlyMap<string, Buffer>): string {
    return marks.get(this.#findings.own.opaque)?.latin1Slice() ?? '';
  }

  #whiteout({ name, path }: TreeEntry, form: WhiteoutForm): void {
    if (form === this.#form) return;
    const kernelMinds = this.#isUpper && form === 'xattr';
    // In a lower the kernel reads both of its forms.
    if (this.#form === 'chardev' && form === 'xattr' && !kernelMinds) return;
    this.#findings.add({
      code: 'whiteout-form',
      path,
      problem: kernelMinds
        ? 'the kernel lists an xattr whiteout in an upper as a file'
        : `this whiteout has the form '${form}'`,
      repair: `make it one of the form '${this.#form}'`,
      apply: (dirfd) => replaceWhiteout(dirfd, name, name, this.#form, this.#findings.own),
    });
  }

  #aufs({ name, path }: TreeEntry): void {
    if (this.#form === 'aufs') return;
    const { own } = this.#findings;
    if (name === WH_OPAQUE) {
      this.#findings.add({
        code: 'aufs-opaque',
        path,
        problem: 'the kernel shows this mark of an opaque directory as a file',
        repair: `mark the directory with ${own.opaque}=y instead`,
        apply: (dirfd) => replaceOpaque(dirfd, this.#form, own),
      });
    } else if (name.startsWith(WH_RESERVED)) {
      this.#findings.add({
        code: 'aufs-reserved',
        path,
        problem: 'the kernel shows this name that AUFS keeps for itself as a file',
        repair: 'remove it',
        apply: (dirfd, at) => removeTree(dirfd, at),
      });
    } else {
      const hidden = name.slice(WH_PREFIX.length);
      this.#findings.add({
        code: 'aufs-whiteout',
        path,
        problem: 'the kernel shows this whiteout as a file',
        repair: `make it a whiteout of the form '${this.#form}'`,
        apply: (dirfd) => this.#convertAufs(dirfd, name, hidden),
      });
    }
  }

  /** A `.wh.` file hides what is below; where its own layer has the name too, only a directory must become opaque. */
  #convertAufs(dirfd: number, name: string, hidden: string): number {
    const { own } = this.#findings;
    const stat = new sys.Stat();
    if (sys.statx(dirfd, hidden, stat) < 0) return replaceWhiteout(dirfd, hidden, name, this.#form, own);
    if ((stat.mode & sys.S_IFMT) === sys.S_IFDIR) {
      const rc = within(dirfd, hidden, (fd) => replaceOpaque(fd, this.#form, own));
      if (rc < 0) return rc;
    }
    return sys.unlinkat(dirfd, name);
  }

  #marks(path: string, type: number, marks: ReadonlyMap<string, Buffer>): void {
    for (const [attribute, value] of marks) {
      const { own } = this.#findings;
      if (attribute === own.redirect) this.#redirect(path, type, value);
      else if (attribute === own.opaque) this.#opaque(path, value.latin1Slice());
      else if (attribute === own.origin) this.#origin(path, value);
      else if (attribute === FOREIGN_OPAQUE) this.#foreignOpaque(path, value.latin1Slice());
      else if (OVERRIDES.includes(attribute)) this.#foreignOwner(path, attribute, value.latin1Slice());
      else this.#namespace(path, attribute, value);
    }
  }

  #redirect(path: string, type: number, value: Buffer): void {
    const problem = redirectProblem(value.latin1Slice());
    const { own } = this.#findings;
    if (problem === null) return;
    const isDir = type === sys.S_IFDIR;
    this.#findings.add({
      code: 'bad-redirect',
      path,
      problem: `its redirect ${problem}: nobody can look it up`,
      repair: isDir ? 'remove the redirect and make the directory opaque' : 'remove the redirect',
      apply: (dirfd, name) => {
        if (isDir) {
          const rc = setMark(dirfd, name, own.opaque);
          if (rc < 0) return rc;
        }
        return sys.removexattr(dirfd, name, own.redirect);
      },
    });
  }

  #opaque(path: string, value: string): void {
    if (value === 'y' && this.#form === 'aufs') {
      this.#findings.add({
        code: 'opaque-form',
        path,
        problem: 'this directory is opaque by an xattr',
        repair: `mark it with ${WH_OPAQUE} instead`,
        apply: (dirfd, name) => within(dirfd, name, (fd) => replaceOpaque(fd, 'aufs', this.#findings.own)),
      });
    }
    if (value === 'y' || value === 'x') return;
    const { own } = this.#findings;
    this.#findings.add({
      code: 'bad-opaque',
      path,
      problem: `${own.opaque} has a value that means nothing`,
      repair: 'remove it',
      apply: (dirfd, name) => sys.removexattr(dirfd, name, own.opaque),
    });
  }

  #origin(path: string, value: Buffer): void {
    if (value.length === 0 || decodeOrigin(value) !== null) return;
    const { own } = this.#findings;
    this.#findings.add({
      code: 'bad-origin',
      path,
      problem: 'its origin is malformed',
      repair: 'mark the origin as unknown',
      apply: (dirfd, name) => sys.setxattr(dirfd, name, own.origin, Buffer.alloc(0), 0),
    });
  }

  #foreignOpaque(path: string, value: string): void {
    if (value !== 'y') return;
    const { own } = this.#findings;
    this.#findings.add({
      code: 'foreign-opaque',
      path,
      problem: `the kernel does not read ${FOREIGN_OPAQUE}`,
      repair: `mark the directory with ${own.opaque}=y instead`,
      apply: (dirfd, name) => within(dirfd, name, (fd) => replaceOpaque(fd, this.#form, own)),
    });
  }

  /** `uid:gid:mode`, followed by a type for objects that are stored as plain files; those can't be repaired. */
  #foreignOwner(path: string, attribute: string, value: string): void {
    const problem = `the kernel does not read the owner and mode in ${attribute}`;
    const owner = parseOverride(value);
    // A layer without the attribute on its root does not keep owners this way, so nothing reads this one.
    if (owner === null || owner.device !== null || !this.#keepsOwners(attribute)) {
      this.#findings.add({ code: 'foreign-owner', path, problem });
      return;
    }
    const { uid, gid, mode } = owner;
    this.#findings.add({
      code: 'foreign-owner',
      path,
      problem,
      repair: `give it owner ${uid}:${gid} and mode ${mode.toString(8)}`,
      apply: (dirfd, name) => {
        const stat = new sys.Stat();
        let rc = sys.statx(dirfd, name, stat);
        if (rc >= 0) rc = sys.fchownat(dirfd, name, uid, gid);
        const isLink = (stat.mode & sys.S_IFMT) === sys.S_IFLNK;
        if (rc >= 0 && !isLink) rc = sys.fchmodat(dirfd, name, mode);
        return rc < 0 ? rc : sys.removexattr(dirfd, name, attribute);
      },
    });
  }

  #keepsOwners(attribute: string): boolean {
    return this.#directories.get('')?.marks.has(attribute) === true;
  }

  #namespace(path: string, attribute: string, value: Buffer): void {
    const { own } = this.#findings;
    const other = own.prefix === 'user.overlay.' ? 'trusted.overlay.' : 'user.overlay.';
    if (!attribute.startsWith(other)) return;
    const right = own.prefix + attribute.slice(other.length);
    this.#findings.add({
      code: 'wrong-namespace',
      path,
      problem: `a mount with ${own.prefix}* marks does not read ${attribute}`,
      repair: `rename it to ${right}`,
      apply: (dirfd, name) => {
        const rc = sys.setxattr(dirfd, name, right, value, value.length, sys.XATTR_CREATE);
        return rc < 0 && rc !== -sys.EEXIST ? rc : sys.removexattr(dirfd, name, attribute);
      },
    });
  }

  #afterDirectory(path: string, { marks, hasOrigins, hasUnmarked }: Directory): void {
    const { own } = this.#findings;
    if (hasUnmarked) {
      this.#findings.add({
        code: 'unmarked-whiteout',
        path: path === '' ? '.' : path,
        problem: 'it holds xattr whiteouts but is not marked so: the kernel lists them as files',
        repair: `mark it with ${own.opaque}=x`,
        apply: (dirfd, name) => within(dirfd, name, (fd) => markContains(fd, own)),
      });
    }
    if (!this.#isUpper || !hasOrigins || marks.has(own.impure)) return;
    this.#findings.add({
      code: 'missing-impure',
      path: path === '' ? '.' : path,
      problem:
        'it holds copied-up or renamed entries but is not marked impure: the kernel lists them with other inode numbers',
      repair: `mark it with ${own.impure}=y`,
      apply: (dirfd, name) => setMark(dirfd, name, own.impure),
    });
  }
}
