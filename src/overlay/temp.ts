/** Temporary objects in the work directory: what is built aside, and what is on its way out. */
import * as sys from '../sys/index.js';
import type { Overlay } from './state.js';

/** A fresh name in work; left-overs of a crash are removed before the next mount, so a counter is unique. */
export function tempName(ov: Overlay): string {
  ov.tempCounter++;
  return `#${ov.tempCounter.toString(16)}`;
}

/** Removes a file, whiteout or directory tree in work. Failure only leaves garbage for the next mount. */
export function discard(ov: Overlay, name: string, isDirectory: boolean): void {
  ov.bestEffort('clean work', isDirectory ? removeTree(ov.work, name) : sys.unlinkat(ov.work, name));
}

/** Removes the directory `name` and all that is in it, following no symlink and opening no device. */
function removeTree(dirfd: number, name: string): number {
  const fast = sys.unlinkat(dirfd, name, sys.AT_REMOVEDIR);
  if (fast !== -sys.ENOTEMPTY && fast !== -sys.EEXIST) return fast;
  const fd = sys.openat(dirfd, name, sys.O_RDONLY | sys.O_DIRECTORY | sys.O_NOFOLLOW | sys.O_CLOEXEC);
  if (fd < 0) return fd;
  try {
    const entries = sys.readDirectory(fd);
    if (typeof entries === 'number') return entries;
    for (const entry of entries) {
      let rc = entry.type === sys.DT_DIR ? removeTree(fd, entry.name) : sys.unlinkat(fd, entry.name);
      if (rc === -sys.EISDIR) rc = removeTree(fd, entry.name);
      if (rc < 0 && rc !== -sys.ENOENT) return rc;
    }
  } finally {
    sys.close(fd);
  }
  return sys.unlinkat(dirfd, name, sys.AT_REMOVEDIR);
}
