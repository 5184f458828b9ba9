/**
 * The identity under which this thread accesses files, and its capabilities. All of these calls act on the calling thread only, so
 * the session thread can assume a caller's identity without affecting the process.
 */
import { native, path, result, TOO_LONG } from './ffi.js';

const setfsuidCall = native('int', 'setfsuid', ['uint']);
const setfsgidCall = native('int', 'setfsgid', ['uint']);
const umaskCall = native('uint', 'umask', ['uint']);
const unshareCall = native('int', 'unshare', ['int']);
const prctlCall = native('int', 'prctl', ['int', 'uint64', 'uint64', 'uint64', 'uint64']);

const CLONE_FS = 0x200;
const PR_SET_SECUREBITS = 28;
const PR_GET_SECUREBITS = 27;
const SECBIT_NO_SETUID_FIXUP = 4;

/** Sets the filesystem uid of this thread. Returns the previous one. */
export function setfsuid(uid: number): number {
  return setfsuidCall(uid);
}

/** Sets the filesystem gid of this thread. Returns the previous one. */
export function setfsgid(gid: number): number {
  return setfsgidCall(gid);
}

/** Sets the file creation mask. Returns the previous one. */
export function umask(mask: number): number {
  return umaskCall(mask);
}

/** Gives this thread its own umask and working directory. Returns 0 or -errno. */
export function unshareFs(): number {
  return result(unshareCall(CLONE_FS));
}

/** Makes {@link setfsuid} keep this thread's capabilities. Returns 0 or -errno. */
export function keepCapabilities(): number {
  const bits = result(prctlCall(PR_GET_SECUREBITS, 0, 0, 0, 0));
  if (bits < 0) return bits;
  return result(prctlCall(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP, 0, 0, 0));
}

const faccessatCall = native('int', 'faccessat', ['int', 'void *', 'int', 'int']);
const capgetCall = native('int', 'capget', ['void *', 'void *']);

export const CAP_CHOWN = 0;
export const CAP_DAC_OVERRIDE = 1;
export const CAP_DAC_READ_SEARCH = 2;
export const CAP_FOWNER = 3;
export const CAP_FSETID = 4;
export const CAP_SETGID = 6;
export const CAP_SETUID = 7;
export const CAP_SYS_ADMIN = 21;

export const X_OK = 1;
export const W_OK = 2;
const AT_EACCESS = 0x200;

/** Checks whether this process, by its effective ids, may access `name` with `mode`. Returns 0 or -errno. Follows symlinks. */
export function faccessat(dirfd: number, name: string, mode: number): number {
  const p = path(name);
  return p === null ? TOO_LONG : result(faccessatCall(dirfd, p, mode, AT_EACCESS));
}

const LINUX_CAPABILITY_VERSION_3 = 0x20080522;
const capHeader = Buffer.alloc(8);
const capData = Buffer.alloc(24);

/** Effective capabilities 0 to 31 of this thread in its user namespace, as a mask; 0 when they can't be read. */
export function effectiveCapabilities(): number {
  capHeader.writeUInt32LE(LINUX_CAPABILITY_VERSION_3, 0);
  capHeader.writeUInt32LE(0, 4);
  if (capgetCall(capHeader, capData) < 0) return 0;
  return capData.readUInt32LE(0);
}
