/** Copying file data between descriptors, preserving holes. */
import { SEEK_DATA, SEEK_HOLE } from './consts.js';
import { EINTR, EINVAL, ENOSYS, ENXIO, EOPNOTSUPP, EXDEV } from './errno.js';
import { copyFileRange, ftruncate, lseek, pread, pwriteAll } from './file.js';

/** Bytes per copy_file_range(2) call: long enough to be cheap, short enough to let other threads on this CPU run. */
const PIECE = 4 << 20;
const BLOCK = 1 << 20;

/** Errors of copy_file_range(2) that mean "not between these two files", not "the copy failed". */
function cannotCopyInKernel(rc: number): boolean {
  return rc === -EXDEV || rc === -EINVAL || rc === -EOPNOTSUPP || rc === -ENOSYS;
}

let block: Buffer | null = null;

function copyByHand(from: number, to: number, start: number, end: number): number {
  block ??= Buffer.allocUnsafeSlow(BLOCK);
  for (let at = start; at < end; ) {
    const got = pread(from, block, Math.min(BLOCK, end - at), at);
    if (got === -EINTR) continue;
    if (got <= 0) return got;
    const rc = pwriteAll(to, block.subarray(0, got), at);
    if (rc < 0) return rc;
    at += got;
  }
  return 0;
}

/** Copies the bytes from `start` to `end`, which hold data. Returns 0 or -errno. */
function copyExtent(from: number, to: number, start: number, end: number): number {
  for (let at = start; at < end; ) {
    const rc = copyFileRange(from, at, to, at, Math.min(PIECE, end - at));
    if (rc === -EINTR) continue;
    if (rc === 0 || cannotCopyInKernel(rc)) return copyByHand(from, to, at, end);
    if (rc < 0) return rc;
    at += rc;
  }
  return 0;
}

/** Where data starts at or after `at`; `size` when only a hole follows; `at` when holes are not reported. */
function nextData(fd: number, at: number, size: number): number {
  const rc = lseek(fd, at, SEEK_DATA);
  if (rc === -ENXIO) return size;
  return rc < at ? at : Math.min(rc, size); // a device returns 0
}

function nextHole(fd: number, at: number, size: number): number {
  const rc = lseek(fd, at, SEEK_HOLE);
  return rc <= at ? size : Math.min(rc, size);
}

/**
 * Like {@link copyData}, for a file that is known to have no holes: a single call if the kernel can copy. Returns 0 or -errno.
 */
export function copyDense(from: number, to: number, size: number): number {
  const rc = copyFileRange(from, 0, to, 0, size);
  return rc === size ? 0 : copyData(from, to, size);
}

/**
 * Copies the first `size` bytes of `from` to the empty file `to`, at explicit offsets. Holes stay holes if the filesystem of `from`
 * reports them. Returns 0 or -errno.
 */
export function copyData(from: number, to: number, size: number): number {
  for (let at = nextData(from, 0, size); at < size; at = nextData(from, at, size)) {
    const end = nextHole(from, at, size);
    const rc = copyExtent(from, to, at, end);
    if (rc < 0) return rc;
    at = end;
  }
  return ftruncate(to, size);
}
