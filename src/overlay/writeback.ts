/**
 * Lost writes of a volatile mount: nothing is flushed for callers, but once data did not reach the disk, every fsync reports it
 * (ovl_sync_status()).
 *
 * The kernel compares the error counter of the upper's superblock with its value at mount time, and so does the sensor of
 * lost-writes.ts, if there is one. Otherwise user space can read that counter only through syncfs(2), which flushes the filesystem
 * first: exactly what a volatile mount avoids.
 *
 * Available without a flush is the error counter of a file: sync_file_range(2) over a range without writes in flight reports an
 * error that occurred since the file was opened, or that nobody has seen yet. So each fsync checks its own file and, at most once a
 * second, all that are open for writing. A lost write to a file that was closed in the meantime (its descriptor was evicted) and is
 * not opened again remains unnoticed then, as do lost directory blocks.
 */
import * as sys from '../sys/index.js';
import { fail } from '../vfs/errors.js';
import type { Overlay } from './state.js';

/** An offset beyond all data, where there is nothing to wait for. */
const NOWHERE = 2 ** 52;
const SWEEP_MS = 1000;

/** What is known of lost writes since the mount. */
export class Writeback {
  #lost = 0;
  #swept = 0;

  /**
   * The answer to an fsync in a volatile mount: throws EIO or ENOSPC once anything was lost. `fd`: the file's descriptor on upper,
   * which is checked if there is no sensor; or -1.
   */
  check(ov: Overlay, fd: number): void {
    const { sensor } = ov.opened;
    if (sensor >= 0 && this.#lost === 0) this.#lost = -Math.min(0, sys.syncfs(sensor));
    if (sensor < 0) this.#lookAtFiles(ov, fd);
    if (this.#lost !== 0) fail(this.#lost, 'lost writes');
  }

  #lookAtFiles(ov: Overlay, fd: number): void {
    if (this.#lost === 0) this.#look(fd);
    const now = Date.now();
    if (this.#lost === 0 && now - this.#swept >= SWEEP_MS) {
      this.#swept = now;
      for (const open of ov.files.writable()) this.#look(open);
    }
  }

  #look(fd: number): void {
    const rc = sys.syncFileRange(fd, NOWHERE, 1, sys.SYNC_FILE_RANGE_WAIT_BEFORE);
    // Directories and other files without data of their own: ESPIPE.
    if (rc < 0 && rc !== -sys.ESPIPE && rc !== -sys.EINVAL && rc !== -sys.EBADF) this.#lost = -rc;
  }
}
