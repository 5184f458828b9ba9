/** New directories that are there only when they are whole. */
import { randomBytes } from 'node:crypto';
import { UserError } from '../overlay/user-error.js';
import * as sys from '../sys/index.js';
import { check, type PathLike, pathBytes, quoted } from './text.js';
import { openTop, removeTree } from './tree.js';

/** Parent and last component of a path. */
export function splitPath(path: string): [string, string] {
  const trimmed = path.replace(/(?<=.)\/+$/, '');
  const slash = trimmed.lastIndexOf('/');
  return [slash < 0 ? '.' : trimmed.slice(0, slash) || '/', trimmed.slice(slash + 1)];
}

/** Takes from a directory what it inherited from its parent. */
export function plainDirectory(fd: number, path: string): void {
  for (const acl of ['system.posix_acl_default', 'system.posix_acl_access']) sys.removexattr(fd, '', acl);
  check(sys.fchmod(fd, 0o755), 'prepare', path);
}

/** Makes the directory `path`, which must not be there or be empty, by `fill`. A failure leaves nothing. */
export function buildDirectory<T>(path: PathLike, fill: (top: number) => T): T {
  const directory = pathBytes(path);
  const [parentPath, name] = splitPath(directory);
  const parent = openTop(Buffer.from(parentPath, 'latin1'), 'directory');
  const temporary = `.plyfs-${randomBytes(6).toString('hex')}.tmp`;
  let top = -1;
  try {
    const empty = sys.unlinkat(parent, name, sys.AT_REMOVEDIR);
    if (empty < 0 && empty !== -sys.ENOENT) {
      throw new UserError(`'${quoted(directory)}' is there and no empty directory; name a new one.`);
    }
    check(sys.mkdirat(parent, temporary, 0o755), 'create', directory);
    top = sys.openat(parent, temporary, sys.O_RDONLY | sys.O_DIRECTORY | sys.O_NOFOLLOW | sys.O_CLOEXEC);
    plainDirectory(check(top, 'open', directory), directory);
    const result = fill(top);
    // commit point
    check(sys.renameat2(parent, temporary, parent, name, sys.RENAME_NOREPLACE), 'create', directory);
    return result;
  } catch (error) {
    removeTree(parent, temporary);
    throw error;
  } finally {
    if (top >= 0) sys.close(top);
    sys.close(parent);
  }
}
