/** Copying file data between descriptors, holes kept. */
import { SEEK_DATA, SEEK_HOLE } from './consts.js';
import { EINVAL, ENOSYS, ENXIO, EOPNOTSUPP, EXDEV } from './errno.js';
import { copyFileRange, ftruncate, lseek, pread, pwrite } from './file.js';

/** Bytes per call: a copy of any size stays interruptible, and memory for the fallback bounded. */
const PIECE = 16 * 1024 * 1024;
const BUFFER = 1024 * 1024;

/** Whether copy_file_range(2) can't do it at all, and reading and writing must. */
function isUnable(rc: number): boolean {
  return rc === -EXDEV || rc === -EINVAL || rc === -EOPNOTSUPP || rc === -ENOSYS;
}

let buffer: Buffer | null = null;

/** Reads and writes; at most {@link BUFFER} bytes. Returns bytes copied, 0 at the end of `from`, or -errno. */
function copyByHand(from: number, to: number, offset: number, length: number): number {
  buffer ??= Buffer.allocUnsafe(BUFFER);
  const got = pread(from, buffer, Math.min(length, BUFFER), offset);
  if (got <= 0) return got;
  let done = 0;
  while (done < got) {
    const rc = pwrite(to, done === 0 ? buffer : buffer.subarray(done), got - done, offset + done);
    if (rc < 0) return rc;
    done += rc;
  }
  return got;
}

/** Copies one stretch without holes. Returns 0 or -errno. */
function copyStretch(from: number, to: number, start: number, end: number): number {
  let byHand = false;
  for (let at = start; at < end; ) {
    let rc = byHand ? -EOPNOTSUPP : copyFileRange(from, at, to, at, Math.min(PIECE, end - at));
    // Some filesystems answer 0 for what they can't copy: reading tells the end of the file from that.
    if (rc === 0 || isUnable(rc)) {
      byHand = true;
      rc = copyByHand(from, to, at, end - at);
    }
    if (rc < 0) return rc;
    if (rc === 0) return 0;
    at += rc;
  }
  return 0;
}

/**
 * Copies the first `size` bytes of `from` to the empty file `to`, at explicit offsets. Holes stay holes where
 * `from`'s filesystem tells them. Returns 0 or -errno.
 */
export function copyData(from: number, to: number, size: number): number {
  for (let at = 0; at < size; ) {
    const data = lseek(from, at, SEEK_DATA);
    if (data === -ENXIO) break;
    const start = data < 0 ? at : data;
    if (start >= size) break;
    const hole = data < 0 ? size : lseek(from, start, SEEK_HOLE);
    const end = hole < 0 ? size : Math.min(hole, size);
    const rc = copyStretch(from, to, start, end);
    if (rc < 0) return rc;
    at = end;
  }
  return ftruncate(to, size);
}
