/** The `/dev/fuse` descriptor of one mount. */
import * as sys from '../sys/index.js';

/** What a read of the device gave when it was no request. */
export const AGAIN = 0;

/**
 * Reads requests and writes replies. One thread reads; any thread may write (a reply is one write(2)).
 * The place where a busy-wait before a blocking read would go.
 */
export class Device {
  readonly fd: number;
  #blocking = true;

  constructor(fd: number) {
    this.fd = fd;
  }

  /** Whether {@link read} waits for a request. */
  set blocking(on: boolean) {
    if (on === this.#blocking) return;
    this.#blocking = on;
    sys.setNonblocking(this.fd, !on);
  }

  /** Length of the next request; {@link AGAIN}: none this time, try again; negative: -errno, the connection is over. */
  read(into: Buffer): number {
    const rc = sys.read(this.fd, into, into.length);
    if (rc > 0) return rc;
    switch (-rc) {
      case 0:
      case sys.EINTR:
      case sys.EAGAIN:
      case sys.ENOENT: // the request was interrupted between waking us and being copied
        return AGAIN;
      default:
        return rc;
    }
  }

  /** Sends one reply. Returns 0, or -errno when the kernel refused it as malformed. */
  write(reply: Buffer, length: number): number {
    for (;;) {
      const rc = sys.write(this.fd, reply, length);
      if (rc >= 0) return 0;
      switch (-rc) {
        case sys.EINTR:
        case sys.EAGAIN:
          continue;
        case sys.ENOENT: // nobody waits for it any more
        case sys.ENODEV: // the mount is gone: the next read says so
        case sys.ECONNABORTED:
        case sys.EPERM:
          return 0;
        default:
          return rc;
      }
    }
  }
}
