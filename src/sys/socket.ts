/** Unix sockets: a pair over which another program passes us a descriptor (SCM_RIGHTS), and probing whether a path is served. */
import { ENAMETOOLONG } from './errno.js';
import { addressOf, native, result } from './ffi.js';
import { close } from './file.js';

const socketpairCall = native('int', 'socketpair', ['int', 'int', 'int', 'void *']);
const socketCall = native('int', 'socket', ['int', 'int', 'int']);
const connectCall = native('int', 'connect', ['int', 'void *', 'uint32']);
const recvmsgCall = native('int64', 'recvmsg', ['int', 'void *', 'int']);

const AF_UNIX = 1;
const SOCK_STREAM = 1;
const SOCK_DGRAM = 2;
const SOCK_CLOEXEC = 0o2000000;
const SOL_SOCKET = 1;
const SCM_RIGHTS = 1;
const MSG_CMSG_CLOEXEC = 0x40000000;
/** struct sockaddr_un: family, path with its NUL. */
const SUN_PATH_AT = 2;
const SUN_PATH_SIZE = 108;
/** Bytes of a 64-bit struct cmsghdr: size_t len, int level, int type. */
const CMSGHDR = 16;

/** Two connected sockets, close-on-exec, or -errno. */
export function socketpair(): [number, number] | number {
  const pair = Buffer.alloc(8);
  const rc = result(socketpairCall(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair));
  return rc < 0 ? rc : [pair.readInt32LE(0), pair.readInt32LE(4)];
}

/**
 * Asks the kernel whether a process listens on the stream socket at a path (latin1), without that process noticing, by connecting
 * with the wrong socket type. -EPROTOTYPE: a process has it open; -ECONNREFUSED: none has; or another -errno.
 */
export function probeSocket(path: string): number {
  if (path.length >= SUN_PATH_SIZE) return -ENAMETOOLONG;
  const fd = result(socketCall(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  if (fd < 0) return fd;
  const address = Buffer.alloc(SUN_PATH_AT + SUN_PATH_SIZE);
  address.writeUInt16LE(AF_UNIX, 0);
  address.latin1Write(path, SUN_PATH_AT);
  const rc = result(connectCall(fd, address, address.length));
  close(fd);
  return rc;
}

/** Receives a message on `socket`. Returns the descriptor it carries (close-on-exec), null if none, or -errno. */
export function receiveDescriptor(socket: number): number | null {
  const byte = Buffer.alloc(8);
  const control = Buffer.alloc(64);
  const iovec = Buffer.alloc(16);
  iovec.writeBigUInt64LE(addressOf(byte), 0);
  iovec.writeBigUInt64LE(1n, 8);
  // struct msghdr: name, namelen, iov, iovlen, control, controllen, flags
  const message = Buffer.alloc(56);
  message.writeBigUInt64LE(addressOf(iovec), 16);
  message.writeBigUInt64LE(1n, 24);
  message.writeBigUInt64LE(addressOf(control), 32);
  message.writeBigUInt64LE(BigInt(control.length), 40);
  const rc = result(recvmsgCall(socket, message, MSG_CMSG_CLOEXEC));
  if (rc < 0) return rc;
  const carries =
    message.readBigUInt64LE(40) >= BigInt(CMSGHDR + 4) &&
    control.readInt32LE(8) === SOL_SOCKET &&
    control.readInt32LE(12) === SCM_RIGHTS;
  return carries ? control.readInt32LE(CMSGHDR) : null;
}
