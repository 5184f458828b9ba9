/** Removing trees that others left behind, whatever their modes, never through a symlink or onto another mount. */
import * as sys from '../sys/index.js';

const DIR_FLAGS = sys.O_DIRECTORY | sys.O_NOFOLLOW | sys.O_CLOEXEC;
/** Deeper trees were made to exhaust the stack. */
const MAX_DEPTH = 1000;
const BENEATH = sys.RESOLVE_BENEATH | sys.RESOLVE_NO_SYMLINKS | sys.RESOLVE_NO_XDEV;

/** Descriptor of the directory `name` itself, or -errno. `access`: O_PATH or O_RDONLY. */
export function openDir(parent: number, name: string, access: number): number {
  return sys.openat2(parent, name, access | DIR_FLAGS, BENEATH);
}

/** The same for reading, even when the mode forbids it to the owner. */
export function openForListing(parent: number, name: string): number {
  const fd = openDir(parent, name, sys.O_RDONLY);
  if (fd !== -sys.EACCES) return fd;
  const handle = openDir(parent, name, sys.O_PATH);
  if (handle < 0) return handle;
  const rc = makeOurs(handle);
  sys.close(handle);
  return rc < 0 ? rc : openDir(parent, name, sys.O_RDONLY);
}

/** By descriptor, because by name this would follow a symlink that has just replaced the directory. */
function makeOurs(fd: number): number {
  return sys.chmodFd(fd, 0o700);
}

/**
 * Removes `name` and everything below it, as far as possible. Returns 0, also when nothing is there, or -errno: -EINVAL for `.` and
 * `..`, which no name from a layer may reach; -ELOOP below more than 1000 directories.
 */
export function removeTree(parent: number, name: string, depth = 0): number {
  if (name === '.' || name === '..') return -sys.EINVAL;
  const rc = sys.unlinkat(parent, name);
  if (rc === 0 || rc === -sys.ENOENT) return 0;
  if (rc !== -sys.EISDIR && rc !== -sys.EPERM) return rc;
  const emptied = sys.unlinkat(parent, name, sys.AT_REMOVEDIR);
  if (emptied !== -sys.ENOTEMPTY && emptied !== -sys.EEXIST) return emptied === -sys.ENOTDIR ? rc : emptied;
  const fd = openForListing(parent, name);
  if (fd < 0) return fd;
  const failure = depth < MAX_DEPTH ? removeContents(fd, depth + 1) : -sys.ELOOP;
  sys.close(fd);
  return failure < 0 ? failure : sys.unlinkat(parent, name, sys.AT_REMOVEDIR);
}

/** Empties an open directory in the same way. */
export function removeContents(fd: number, depth = 0): number {
  const entries = sys.readDirectory(fd);
  if (typeof entries === 'number') return entries;
  let failure = 0;
  for (const { name } of entries) {
    let rc = removeTree(fd, name, depth);
    // A directory that a process without CAP_DAC_OVERRIDE may read but not change.
    if (rc === -sys.EACCES && makeOurs(fd) === 0) rc = removeTree(fd, name, depth);
    if (rc < 0) failure = rc;
  }
  return failure;
}
