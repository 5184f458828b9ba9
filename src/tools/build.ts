/** New directories that appear only when they are complete. */
import { randomBytes } from 'node:crypto';
import { removeTree } from '../overlay/remove-tree.js';
import { UserError } from '../overlay/user-error.js';
import * as sys from '../sys/index.js';
import { refuseInside } from './output.js';
import { check, type PathLike, pathBytes, quoted } from './text.js';
import { openSub, openTop } from './tree.js';

/** Parent and last component of a path. */
export function splitPath(path: string): [string, string] {
  const trimmed = path.replace(/(?<=.)\/+$/, '');
  const slash = trimmed.lastIndexOf('/');
  return [slash < 0 ? '.' : trimmed.slice(0, slash) || '/', trimmed.slice(slash + 1)];
}

/** A directory that is built beside its final place and renamed when it is complete. */
export class Aside implements Disposable {
  /** Descriptor of the directory. */
  readonly top: number;
  readonly #parent: number;
  readonly #path: string;
  readonly #temporary = `.plyfs-${randomBytes(6).toString('hex')}.tmp`;
  #isDone = false;

  /** Makes it in the open directory `parent`; `path` is for messages. */
  constructor(parent: number, path: string) {
    this.#parent = parent;
    this.#path = path;
    check(sys.mkdirat(parent, this.#temporary, 0o755), 'create', path);
    this.top = openSub(parent, this.#temporary);
    try {
      check(this.top, 'open', path);
      // Remove what it inherited from its parent.
      for (const acl of ['system.posix_acl_default', 'system.posix_acl_access'])
        sys.removexattr(this.top, '', acl);
      check(sys.fchmod(this.top, 0o755), 'prepare', path);
    } catch (error) {
      this[Symbol.dispose]();
      throw error;
    }
  }

  /** Gives it its final name, which must be free. */
  commit(name: string): void {
    // commit point
    const rc = sys.renameat2(this.#parent, this.#temporary, this.#parent, name, sys.RENAME_NOREPLACE);
    check(rc, 'create', this.#path);
    this.#isDone = true;
  }

  /** Removes it, unless it was committed. */
  [Symbol.dispose](): void {
    if (this.top >= 0) sys.close(this.top);
    if (!this.#isDone) removeTree(this.#parent, this.#temporary);
  }
}

/** The parent of a new directory, open, and its name in it. */
export interface NewPlace {
  readonly parent: number;
  readonly name: string;
}

/**
 * Opens the place of `path` (latin1), which must not exist, or be an empty directory, which is removed. `read`: directories in which
 * it must not lie. Throws a UserError.
 */
export function openPlace(path: string, read: readonly number[] = []): NewPlace {
  const [parentPath, name] = splitPath(path);
  const parent = openTop(Buffer.from(parentPath, 'latin1'), 'directory');
  try {
    refuseInside(parent, read, path);
    const rc = sys.unlinkat(parent, name, sys.AT_REMOVEDIR);
    if (rc >= 0 || rc === -sys.ENOENT) return { parent, name };
    throw new UserError(`'${quoted(path)}' is there and no empty directory; name a new one.`);
  } catch (error) {
    sys.close(parent);
    throw error;
  }
}

/**
 * Makes the directory `path`, which must not exist or be empty, by `fill`, from the contents of the open directories `read`. A
 * failure leaves nothing behind. Throws a UserError.
 */
export function buildDirectory<T>(path: PathLike, read: readonly number[], fill: (top: number) => T): T {
  const directory = pathBytes(path);
  const { parent, name } = openPlace(directory, read);
  try {
    using aside = new Aside(parent, directory);
    const result = fill(aside.top);
    aside.commit(name);
    return result;
  } finally {
    sys.close(parent);
  }
}
