/** Problems of a layer in relation to the layers below it. */
import type { Layer } from '../../overlay/config.js';
import type { Inode, RealDir } from '../../overlay/inode.js';
import { readMarks, readOrigin } from '../../overlay/marks.js';
import { decodeOrigin, type Origin } from '../../overlay/origin.js';
import { setMark } from '../../overlay/own-xattrs.js';
import { isWhiteoutEntry, WH_PREFIX } from '../../overlay/whiteout.js';
import * as sys from '../../sys/index.js';
import { shown } from '../text.js';
import { type Stack, View } from '../view.js';
import { Claims, pathOf } from './claims.js';
import type { Findings } from './finding.js';
import type { Nested } from './nested.js';
import { redirectProblem, type ScanOptions } from './scan.js';

/** Goes through the top layer of a view, beside a view of the layers below it. */
export class StackCheck {
  readonly #above: View;
  readonly #below: View;
  readonly #nested: Nested;
  readonly #findings: Findings;
  readonly #claims = new Claims();

  private constructor(above: View, below: View, nested: Nested, findings: Findings) {
    this.#above = above;
    this.#below = below;
    this.#nested = nested;
    this.#findings = findings;
  }

  /** Checks the top layer of `layers` against the others. */
  static run(
    layers: Pick<Stack, 'lower' | 'data' | 'userxattr'>,
    how: ScanOptions,
    findings: Findings,
  ): void {
    using above = View.open(layers, how.isUpper);
    using below = View.open({ ...layers, lower: layers.lower.slice(1) });
    const check = new StackCheck(above, below, how.nested, findings);
    check.#directory(above.root, below.root, '');
    check.#claims.report(above, how.form, findings);
  }

  #directory(inode: Inode, before: Inode | null, prefix: string): void {
    const real = inode.dir!.real[0]!;
    if (real.layer.index !== 0) return;
    for (const { name, type } of this.#above.ov.dirs.read(real)) {
      const path = prefix + name;
      if (name.startsWith(WH_PREFIX)) continue;
      if (isWhiteoutEntry(this.#above.ov, real, name, type)) this.#whiteout(inode, before, name, path);
      else this.#entry(inode, before, real, name, path);
    }
  }

  #whiteout(inode: Inode, before: Inode | null, name: string, path: string): void {
    const old = before === null ? null : this.#below.find(before, name, path);
    if (old !== null) this.#below.drop(old);
    // A whiteout in an opaque directory hides nothing either.
    if (old !== null && inode.dir!.real.length > 1) return;
    this.#findings.add({
      code: 'orphan-whiteout',
      path,
      problem: 'this whiteout hides nothing',
      repair: 'remove it',
      apply: (dirfd, at) => sys.unlinkat(dirfd, at),
    });
  }

  #entry(parent: Inode, before: Inode | null, real: RealDir, name: string, path: string): void {
    const fd = this.#above.ov.dirs.fd(real);
    if (this.#nested.has(fd, name)) return;
    const marks = readMarks(this.#above.ov, fd, name);
    // It can't be looked up, which scan.ts reports.
    if (marks.redirect !== null && redirectProblem(marks.redirect) !== null) return;
    if (marks.origin) this.#origin(fd, name, path);
    const inode = this.#lookup(parent, name, path, marks.metacopy);
    if (inode === null) return;
    if (inode.dir !== null) {
      const [, lower] = inode.dir.real;
      if (marks.redirect !== null) {
        if (lower === undefined) this.#dangling(path, marks.redirect);
        else this.#claims.add(path, lower);
      }
      const old = this.#lowerPart(lower, marks.redirect !== null, () =>
        before === null ? null : this.#below.find(before, name, path),
      );
      this.#directory(inode, old, `${path}/`);
      if (old !== null) this.#below.drop(old);
    }
    this.#above.drop(inode);
  }

  /** The directory of the lowers that a directory is merged with: by its name in `before`, or where its redirect led. */
  #lowerPart(lower: RealDir | undefined, isRenamed: boolean, before: () => Inode | null): Inode | null {
    if (lower === undefined) return null;
    return isRenamed ? this.#below.resolve(pathOf(lower)) : before();
  }

  #lookup(parent: Inode, name: string, path: string, isMetacopy: boolean): Inode | null {
    try {
      return this.#above.find(parent, name, path);
    } catch (error) {
      if (!(error instanceof Error) || error.name !== 'UserError') throw error;
      if (isMetacopy)
        this.#findings.add({
          code: 'metacopy-without-data',
          path,
          problem: 'its data was left on a lower layer and is not there: reading it fails',
        });
      else this.#findings.add({ code: 'unreadable', path, problem: error.message.replace(/\.$/, '') });
      return null;
    }
  }

  #dangling(path: string, redirect: string): void {
    const { own } = this.#findings;
    this.#findings.add({
      code: 'dangling-redirect',
      path,
      problem: `no layer below has '${shown(redirect)}', where it says that it was`,
      repair: 'remove the redirect and make the directory opaque',
      apply: (dirfd, name) => {
        const rc = setMark(dirfd, name, own.opaque);
        return rc < 0 ? rc : sys.removexattr(dirfd, name, own.redirect);
      },
    });
  }

  #origin(fd: number, name: string, path: string): void {
    const blob = readOrigin(this.#above.ov, fd, name);
    const origin = blob === null ? null : decodeOrigin(blob);
    if (origin === null || leads(origin, this.#below.layers) !== false) return;
    const { own } = this.#findings;
    this.#findings.add({
      code: 'stale-origin',
      path,
      problem:
        'what it was copied up from is gone: its inode number is not the one it had, and index=on refuses it',
      repair: 'mark the origin as unknown',
      apply: (dirfd, at) => sys.setxattr(dirfd, at, own.origin, Buffer.alloc(0), 0),
    });
  }
}

/** Whether an origin leads to an existing object; null when that can't be determined. */
export function leads(origin: Origin, layers: readonly Layer[]): boolean | null {
  let couldLook = false;
  for (const { uuid, handleFd } of layers) {
    const same = origin.uuid.every((byte) => byte === 0) || (uuid !== null && origin.uuid.equals(uuid));
    if (handleFd < 0 || !same) continue;
    const fd = sys.openByHandle(handleFd, origin.handle, sys.O_PATH | sys.O_CLOEXEC);
    if (fd >= 0) {
      sys.close(fd);
      return true;
    }
    if (fd === -sys.EPERM) return null;
    couldLook = true;
  }
  return couldLook ? false : null;
}
