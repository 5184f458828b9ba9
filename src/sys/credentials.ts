/**
 * The identity under which this thread touches files. These calls go to the kernel raw or act on one thread only
 * (glibc's own setfsuid does), so the session thread can take a caller's identity without touching the process.
 */
import { native, result } from './ffi.js';

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

/** Gives this thread a umask and a working directory of its own. Returns 0 or -errno. */
export function unshareFs(): number {
  return result(unshareCall(CLONE_FS));
}

/** Lets {@link setfsuid} change ownership of what is created but keep this thread's capabilities. */
export function keepCapabilities(): number {
  const bits = result(prctlCall(PR_GET_SECUREBITS, 0, 0, 0, 0));
  if (bits < 0) return bits;
  return result(prctlCall(PR_SET_SECUREBITS, bits | SECBIT_NO_SETUID_FIXUP, 0, 0, 0));
}
