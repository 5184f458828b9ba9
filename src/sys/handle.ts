/** File handles: the persistent identity of an object on its filesystem (name_to_handle_at(2)). */
import { AT_EMPTY_PATH } from './consts.js';
import { native, path, result, TOO_LONG } from './ffi.js';

const nameToHandleCall = native('int', 'name_to_handle_at', ['int', 'void *', 'void *', 'void *', 'int']);
const openByHandleCall = native('int', 'open_by_handle_at', ['int', 'void *', 'int']);

/** Longest handle in bytes (MAX_HANDLE_SZ). */
const MAX_HANDLE_SIZE = 128;

const raw = Buffer.alloc(8 + MAX_HANDLE_SIZE);
const mountId = Buffer.alloc(4);

/** A handle: its filesystem-specific type and bytes. */
export interface FileHandle {
  readonly type: number;
  readonly bytes: Buffer;
}

/** Handle of `name` in `dirfd` ("" is `dirfd` itself), not following a symlink; or -errno (EOPNOTSUPP: no handles here). */
export function nameToHandle(dirfd: number, name: string): FileHandle | number {
  const p = path(name);
  if (p === null) return TOO_LONG;
  raw.writeUInt32LE(MAX_HANDLE_SIZE, 0);
  const rc = nameToHandleCall(dirfd, p, raw, mountId, name === '' ? AT_EMPTY_PATH : 0);
  if (rc < 0) return result(rc);
  const length = raw.readUInt32LE(0);
  return { type: raw.readInt32LE(4), bytes: Buffer.from(raw.subarray(8, 8 + length)) };
}

/** Opens an object by handle on the filesystem of `mountFd` (needs CAP_DAC_READ_SEARCH). Returns a descriptor or -errno. */
export function openByHandle(mountFd: number, handle: FileHandle, flags: number): number {
  if (handle.bytes.length > MAX_HANDLE_SIZE) return TOO_LONG;
  raw.writeUInt32LE(handle.bytes.length, 0);
  raw.writeInt32LE(handle.type, 4);
  handle.bytes.copy(raw, 8);
  return result(openByHandleCall(mountFd, raw, flags));
}
