/** The `/dev/fuse` descriptor of one mount. */
import * as sys from '../sys/index.js';

/** {@link Device.read}: no request this time. */
export const AGAIN = 0;

/** FUSE_DEV_IOC_BACKING_OPEN and FUSE_DEV_IOC_BACKING_CLOSE. */
const BACKING_OPEN = 0x4010e501;
const BACKING_CLOSE = 0x4004e502;

/** Reads requests and writes replies. One thread reads; any thread may write (a reply is one write(2)). */
export class Device {
  readonly fd: number;

  /** Makes `fd` non-blocking. */
  constructor(fd: number) {
    this.fd = fd;
    sys.setNonblocking(fd, true);
  }

  /** Reads a request. Returns its length, {@link AGAIN} when there is none, or -errno when the connection is over. */
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

  /** Sends one reply. Returns 0, or -errno when the kernel refused it. */
  write(reply: Buffer, length: number): number {
    for (;;) {
      const rc = sys.write(this.fd, reply, length);
      if (rc >= 0) return 0;
      if (rc !== -sys.EINTR && rc !== -sys.EAGAIN) return rc;
    }
  }

  /** Registers `backing` for passthrough. Returns its id, or -errno. */
  openBacking(backing: number): number {
    // struct fuse_backing_map: fd, flags, padding
    const map = Buffer.alloc(16);
    map.writeInt32LE(backing, 0);
    return sys.ioctl(this.fd, BACKING_OPEN, map);
  }

  closeBacking(id: number): void {
    const argument = Buffer.alloc(4);
    argument.writeUInt32LE(id);
    sys.ioctl(this.fd, BACKING_CLOSE, argument);
  }
}

/**
 * Whether a refused reply only means that nobody waits for it any more: the request (ENOENT) or the whole mount is gone.
 * EPERM: the descriptor has no connection (fuse_dev_write()).
 */
export function isUnwanted(rc: number): boolean {
  return rc === -sys.ENOENT || rc === -sys.ENODEV || rc === -sys.ECONNABORTED || rc === -sys.EPERM;
}
