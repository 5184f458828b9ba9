/** Kernel AIO, for the one operation that it does asynchronously without O_DIRECT on every filesystem: flushing. */
import { EAGAIN } from './errno.js';
import { addressOf, nativeSyscall, result } from './ffi.js';

const generic = process.arch === 'arm64';
const SYS_IO_SETUP = generic ? 0 : 206;
const SYS_IO_DESTROY = generic ? 1 : 207;
const SYS_IO_SUBMIT = generic ? 2 : 209;
const SYS_IO_GETEVENTS = generic ? 4 : 208;

const setupCall = nativeSyscall(['uint', 'void *']);
const destroyCall = nativeSyscall(['uint64']);
const submitCall = nativeSyscall(['uint64', 'int64', 'void *']);
const geteventsCall = nativeSyscall(['uint64', 'int64', 'int64', 'void *', 'void *']);

const IOCB_CMD_FSYNC = 2;
const IOCB_CMD_FDSYNC = 3;
const IOCB_FLAG_RESFD = 1;
/** struct iocb and struct io_event, in bytes. */
const IOCB = 64;
const EVENT = 32;

/** Flushes of open files by the kernel's own workers (Linux 4.18). */
export class AioFlusher {
  readonly #context: bigint;
  readonly #iocb = Buffer.alloc(IOCB);
  readonly #list = Buffer.alloc(8);
  readonly #events: Buffer;
  readonly #now = Buffer.alloc(16);
  readonly #max: number;
  #running = 0;

  private constructor(context: bigint, max: number) {
    this.#context = context;
    this.#max = max;
    this.#events = Buffer.alloc(EVENT * max);
    this.#list.writeBigUInt64LE(addressOf(this.#iocb), 0);
  }

  /** Makes room for `max` concurrent flushes. Returns -errno where the system has no AIO. */
  static open(max: number): AioFlusher | number {
    const context = Buffer.alloc(8);
    const rc = result(setupCall(SYS_IO_SETUP, max, context));
    return rc < 0 ? rc : new AioFlusher(context.readBigUInt64LE(0), max);
  }

  /**
   * Starts flushing `fd`, which may be closed in the meantime. When it is done, the eventfd `wake` is raised and {@link collect}
   * reports `tag`. Returns 0 or -errno: EAGAIN when there is no room, EINVAL when the file can't be flushed this way.
   */
  submit(fd: number, datasync: boolean, tag: number, wake: number): number {
    if (this.#running >= this.#max) return -EAGAIN;
    const iocb = this.#iocb;
    iocb.fill(0);
    iocb.writeDoubleLE(tag, 0);
    iocb.writeUInt16LE(datasync ? IOCB_CMD_FDSYNC : IOCB_CMD_FSYNC, 16);
    iocb.writeUInt32LE(fd, 20);
    iocb.writeUInt32LE(IOCB_FLAG_RESFD, 56);
    iocb.writeUInt32LE(wake, 60);
    const rc = result(submitCall(SYS_IO_SUBMIT, this.#context, 1, this.#list));
    if (rc < 0) return rc;
    this.#running++;
    return 0;
  }

  /** Number of flushes in progress. */
  get running(): number {
    return this.#running;
  }

  /** Calls `done` for each flush that has ended, with its result: 0 or -errno. */
  collect(done: (tag: number, rc: number) => void): void {
    if (this.#running === 0) return;
    const count = result(
      geteventsCall(SYS_IO_GETEVENTS, this.#context, 0, this.#max, this.#events, this.#now),
    );
    for (let i = 0; i < count; i++) {
      this.#running--;
      done(this.#events.readDoubleLE(i * EVENT), this.#events.readInt32LE(i * EVENT + 16));
    }
  }

  close(): void {
    destroyCall(SYS_IO_DESTROY, this.#context);
  }
}
