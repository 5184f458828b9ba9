/** mount(2), umount2(2), and the calls that create a filesystem without mounting it (fsopen(2) and the like). */
import { native, nativeElsewhere, nativeSyscall, path, path2, result, TOO_LONG } from './ffi.js';

const mountCall = native('int', 'mount', ['void *', 'void *', 'void *', 'uint64', 'void *']);
const umount2Call = nativeElsewhere('umount2', ['void *', 'int']);

export const MS_RDONLY = 1;
export const MS_NOSUID = 2;
export const MS_NODEV = 4;
export const MS_NOEXEC = 8;
export const MS_SYNCHRONOUS = 16;
export const MS_REMOUNT = 32;
export const MS_MANDLOCK = 64;
export const MS_DIRSYNC = 128;
export const MS_NOSYMFOLLOW = 256;
export const MS_NOATIME = 1024;
export const MS_NODIRATIME = 2048;
export const MS_SILENT = 32768;
export const MS_UNBINDABLE = 1 << 17;
export const MS_PRIVATE = 1 << 18;
export const MS_SLAVE = 1 << 19;
export const MS_SHARED = 1 << 20;
export const MS_RELATIME = 1 << 21;
export const MS_STRICTATIME = 1 << 24;
export const MS_LAZYTIME = 1 << 25;

export const MNT_FORCE = 1;
export const MNT_DETACH = 2;
export const UMOUNT_NOFOLLOW = 8;

/** The kernel takes one page of option text, NUL included. */
export const MOUNT_DATA_MAX = 4095;

function cString(text: string): Buffer {
  return Buffer.from(`${text}\0`, 'latin1');
}

/** What mount(2) takes; all text is latin1, one char a byte. */
export interface MountCall {
  readonly source: string;
  readonly target: string;
  readonly type: string;
  /** MS_* flags. */
  readonly flags: number;
  readonly data: string;
}

/** mount(2). Returns 0 or -errno. */
export function mount(call: MountCall): number {
  const target = path(call.target);
  const source = path2(call.source);
  if (target === null || source === null) return TOO_LONG;
  return result(mountCall(source, target, cString(call.type), call.flags, cString(call.data)));
}

/**
 * umount2(2): `flags` are MNT_FORCE, MNT_DETACH, UMOUNT_NOFOLLOW. Resolves to 0 or -errno. Called on another thread, because writing
 * back mapped pages may wait for the server of the mount.
 */
export function umount2(target: string, flags: number): Promise<number> {
  return umount2Call(cString(target), flags);
}

const fsopenCall = nativeSyscall(['void *', 'uint']);
const fsmountCall = nativeSyscall(['int', 'uint', 'uint']);
const fsconfigCall = nativeSyscall(['int', 'uint', 'void *', 'void *', 'int']);

const SYS_FSOPEN = 430;
const SYS_FSCONFIG = 431;
const SYS_FSMOUNT = 432;
const FSOPEN_CLOEXEC = 1;
const FSMOUNT_CLOEXEC = 1;
const FSCONFIG_SET_FLAG = 0;
const FSCONFIG_SET_STRING = 1;
const FSCONFIG_CMD_CREATE = 6;

/** fsopen(2): a descriptor for setting up a filesystem of this type. Returns it or -errno. */
export function fsopen(type: string): number {
  return result(fsopenCall(SYS_FSOPEN, cString(type), FSOPEN_CLOEXEC));
}

/** Sets an option of a filesystem being set up. Returns 0 or -errno. */
export function fsconfigString(fd: number, key: string, value: string): number {
  return result(fsconfigCall(SYS_FSCONFIG, fd, FSCONFIG_SET_STRING, cString(key), cString(value), 0));
}

/** Sets an option without a value. Returns 0 or -errno. */
export function fsconfigFlag(fd: number, key: string): number {
  return result(fsconfigCall(SYS_FSCONFIG, fd, FSCONFIG_SET_FLAG, cString(key), null, 0));
}

/** fsmount(2): a detached mount of the created filesystem, which ends with the returned O_PATH descriptor; or -errno. */
export function fsmount(fd: number): number {
  return result(fsmountCall(SYS_FSMOUNT, fd, FSMOUNT_CLOEXEC, 0));
}

/** Creates the filesystem, which ends with the descriptor; nothing is mounted. Returns 0 or -errno. */
export function fsconfigCreate(fd: number): number {
  return result(fsconfigCall(SYS_FSCONFIG, fd, FSCONFIG_CMD_CREATE, null, null, 0));
}
