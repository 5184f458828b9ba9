/** Copies single objects with everything that belongs to them: data with its holes, owner, xattrs, mode, times. */
import { chmod, chown, setTimes } from '../overlay/real-attr.js';
import * as sys from '../sys/index.js';
import { check } from './text.js';

/** An object to copy. */
export interface Original {
  /** For messages. */
  readonly path: string;
  readonly stat: sys.Stat;
  /** xattrs that the copy shall have. */
  readonly xattrs: ReadonlyMap<string, Buffer>;
  /** Target of a symlink. */
  readonly target: () => string;
  /** A descriptor of a file's data, which the copy closes; or -errno. */
  readonly open: () => number;
}

const NEW_FILE = sys.O_WRONLY | sys.O_CREAT | sys.O_EXCL | sys.O_NOFOLLOW | sys.O_CLOEXEC;

/** Uses the descriptor throughout: anyone who may write to the directory could replace the file, and have root change that one. */
function copyFile(original: Original, dirfd: number, name: string): void {
  const { path, stat, open } = original;
  const from = check(open(), 'open', path);
  try {
    const to = check(sys.openat(dirfd, name, NEW_FILE, 0o600), 'create', path);
    try {
      check(sys.copyData(from, to, stat.size), 'copy', path);
      copyAttributes(original, to, '');
    } finally {
      sys.close(to);
    }
  } finally {
    sys.close(from);
  }
}

/**
 * Makes a copy as `name` in `dirfd`, where the name is free. A directory is made empty and without attributes. These follow when
 * it is filled ({@link copyAttributes}), since objects in it would inherit its ACL, and its mode may forbid writing. Throws a
 * UserError.
 */
export function copyObject(original: Original, dirfd: number, name: string): void {
  const { path, stat } = original;
  const type = stat.mode & sys.S_IFMT;
  if (type === sys.S_IFREG) {
    copyFile(original, dirfd, name);
    return;
  }
  if (type === sys.S_IFDIR) {
    check(sys.mkdirat(dirfd, name, 0o700), 'create', path);
    return;
  }
  if (type === sys.S_IFLNK) check(sys.symlinkat(original.target(), dirfd, name), 'create', path);
  else check(sys.mknodat(dirfd, name, type | 0o600, stat.rdevMajor, stat.rdevMinor), 'create', path);
  copyAttributes(original, dirfd, name);
}

/** Copies owner (first, since it clears set-id bits and capabilities), xattrs, mode and times. Name "" is the descriptor itself. */
export function copyAttributes({ path, stat, xattrs }: Original, dirfd: number, name: string): void {
  if (process.geteuid!() === 0) check(chown(dirfd, name, stat.uid, stat.gid), 'change the owner of', path);
  const isLink = (stat.mode & sys.S_IFMT) === sys.S_IFLNK;
  // Remove what it inherited from a default ACL.
  for (const acl of isLink ? [] : ['system.posix_acl_access', 'system.posix_acl_default']) {
    if (!xattrs.has(acl)) sys.removexattr(dirfd, name, acl);
  }
  for (const [attribute, value] of xattrs) {
    check(sys.setxattr(dirfd, name, attribute, value, value.length), `set ${attribute} of`, path);
  }
  if (!isLink) check(chmod(dirfd, name, stat.mode & 0o7777), 'change the mode of', path);
  copyTimes(stat, dirfd, name, path);
}

function copyTimes(stat: sys.Stat, dirfd: number, name: string, path: string): void {
  const atime = { sec: stat.atime, nsec: stat.atimeNsec };
  const mtime = { sec: stat.mtime, nsec: stat.mtimeNsec };
  check(setTimes(dirfd, name, atime, mtime), 'change the times of', path);
}
