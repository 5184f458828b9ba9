/**
 * Lost writes of a volatile mount: nothing is flushed for callers, but whoever asks to learns that data did not
 * reach the disk, and from then on so does everybody (ovl_sync_status()).
 *
 * The kernel compares the error counter of the upper's superblock with its value at mount time; so does the sensor of
 * lost-writes.ts, where there is one. Otherwise user space sees that counter through syncfs(2) alone, which flushes the
 * filesystem first: what a volatile mount is there to avoid.
 *
 * What can be had without a flush is the error counter of a file: sync_file_range(2) over a part where nothing is under
 * way reports an error that came since the file was opened, or that nobody was told yet. So each fsync looks at its own
 * file and, at most once a second, at all that are open for writing. A lost write to a file that was closed meanwhile (its
 * descriptor fell out of the cache) and is not opened again stays unseen then, as do lost directory blocks.
 */
import * as sys from '../sys/index.js';
import { fail } from '../vfs/errors.js';
import type { Overlay } from './state.js';

/** Beyond all data: there is nothing to wait for. */
const NOWHERE = 2 ** 52;
const SWEEP_MS = 1000;

/** What is known of lost writes since the mount. */
export class Writeback {
  #lost = 0;
  #swept = 0;

  /**
   * What an fsync in a volatile mount answers, EIO or ENOSPC once anything was lost. `fd`: the file's descriptor on upper,
   * which counts where there is no sensor; or -1.
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
