/** File data: read, write and their relatives. */
import * as sys from '../sys/index.js';
import { Deferred, fail, must } from '../vfs/errors.js';
import type { SyncJob } from '../vfs/jobs.js';
import type { Caller } from '../vfs/types.js';
import { FILE_HIT, FILE_MISS } from './cache-counts.js';
import { copyUp } from './copy-up.js';
import type { Inode } from './inode.js';
import { APPEND_ONLY, IMMUTABLE, refuse } from './inode-flags.js';
import { openData, openTopmost, tryOpenTopmost } from './locate.js';
import { killSuidGid } from './set-id.js';
import type { Overlay } from './state.js';

/** Bytes that one copy_file_range copies at most: callers continue after a short count, and others are served in between. */
const COPY_MAX = 4 * 1024 * 1024;

/**
 * A descriptor of the inode's data, cached or newly opened; for writing after copy-up. Owned by the cache, and valid until another
 * file is opened. Throws FsError or Deferred.
 */
export function dataFd(ov: Overlay, inode: Inode, write: boolean): number {
  if (write) refuse(ov, inode, IMMUTABLE);
  let file = ov.files.get(inode);
  if (file !== undefined && (!write || (file.writable && inode.data === null && inode.index === null))) {
    ov.counts[FILE_HIT]!++;
    return file.fd;
  }
  ov.counts[FILE_MISS]!++;
  if (write) {
    copyUp(ov, inode, 'all');
    file = ov.files.get(inode);
    if (file?.writable) return file.fd;
  }
  return ov.files.set(inode, openReal(ov, inode, write ? 'append' : 'read'), write).fd;
}

/** What a descriptor is for. `append`: for writing, if need be only at the end. */
export type DataUse = 'read' | 'write' | 'append';

/** Opens the inode's data anew; the caller owns the descriptor. */
export function openReal(ov: Overlay, inode: Inode, use: DataUse): number {
  if (inode.type !== sys.S_IFREG && inode.dir === null) fail(sys.EINVAL, 'data of a special file');
  if (use === 'read') return openData(ov, inode);
  if (use === 'write') return openTopmost(ov, inode, sys.O_RDWR);
  const fd = tryOpenTopmost(ov, inode, sys.O_RDWR);
  if (fd !== -sys.EPERM) return must(fd, 'openat');
  // The real file may itself be append-only, by a flag that was set before upper was mounted.
  const appending = openTopmost(ov, inode, sys.O_RDWR | sys.O_APPEND);
  inode.protection = APPEND_ONLY;
  return appending;
}

/** Reads at most `size` bytes at `offset` into the start of `into`. Returns bytes read, 0 at the end. */
export function read(ov: Overlay, inode: Inode, offset: number, into: Uint8Array, size: number): number {
  return must(sys.pread(dataFd(ov, inode, false), into, size, offset), 'pread');
}

/** Writes and returns bytes written. `kill`: the caller, who may not keep set-id bits; null for one who may. */
export function write(
  ov: Overlay,
  inode: Inode,
  at: { readonly offset: number; readonly kill: Caller | null },
  data: Uint8Array,
  size: number,
): number {
  const fd = dataFd(ov, inode, true);
  if (inode.protection !== 0 && at.offset < must(sys.lseek(fd, 0, sys.SEEK_END), 'lseek'))
    refuse(ov, inode, APPEND_ONLY);
  const written = must(sys.pwrite(fd, data, size, at.offset), 'pwrite');
  if (at.kill !== null) killSuidGid(ov, { fd, name: '' }, at.kill);
  return written;
}

/**
 * Flushes a descriptor on a helper, and takes ownership of it: throws Deferred; the session serves the request again when the job
 * is done, and {@link flushed} then completes it.
 */
function flush(ov: Overlay, kind: SyncJob['kind'], fd: number): never {
  const job = ov.services.jobs.start({ kind, fd });
  ov.flushing.set(job, fd);
  throw new Deferred(job);
}

/** Whether the request being served waited for a flush, which is complete now. Throws FsError when the flush failed. */
function flushed(ov: Overlay): boolean {
  const { flushing, services } = ov;
  const { jobs } = services;
  const fd = flushing.get(jobs.resumed);
  if (fd === undefined) return false;
  flushing.delete(jobs.resumed);
  sys.close(fd);
  must(jobs.take(jobs.resumed) ?? 0, 'fsync');
  return true;
}

function isVolatile(ov: Overlay): boolean {
  return ov.options.volatile || ov.options.fsync === 'volatile';
}

/** Flushes an object on upper; a lower one is always clean. A volatile mount flushes nothing. Throws FsError or Deferred. */
export function fsync(ov: Overlay, inode: Inode, datasync: boolean): void {
  if (flushed(ov)) return;
  if (isVolatile(ov)) {
    const asksFile = ov.opened.sensor < 0 && inode.hasUpper && inode.data === null;
    ov.writeback.check(ov, asksFile ? dataFd(ov, inode, false) : -1);
    return;
  }
  if (!inode.hasUpper) return;
  const fd =
    inode.data === null
      ? must(ov.dup(dataFd(ov, inode, false)), 'dup')
      : openTopmost(ov, inode, sys.O_RDONLY);
  flush(ov, datasync ? 'fdatasync' : 'fsync', fd);
}

/** Flushes the upper's filesystem. */
export function syncfs(ov: Overlay): void {
  if (flushed(ov) || ov.upperLayer === null || isVolatile(ov)) return;
  flush(
    ov,
    'syncfs',
    must(ov.open(ov.upperLayer.root, '.', sys.O_RDONLY | sys.O_DIRECTORY | sys.O_CLOEXEC), 'openat'),
  );
}

/** fallocate(2) after copy-up, under the union's rules for append-only files. EPERM. */
export function fallocate(ov: Overlay, inode: Inode, mode: number, offset: number, length: number): void {
  if (mode !== sys.FALLOC_FL_KEEP_SIZE && mode !== 0) refuse(ov, inode, APPEND_ONLY);
  must(sys.fallocate(dataFd(ov, inode, true), mode, offset, length), 'fallocate');
}

/** SEEK_DATA and SEEK_HOLE on the real file. ENXIO. */
export function lseek(ov: Overlay, inode: Inode, offset: number, whence: number): number {
  return must(sys.lseek(dataFd(ov, inode, false), offset, whence), 'lseek');
}

/** One end of a copy. */
export interface DataAt {
  readonly inode: Inode;
  readonly offset: number;
}

/**
 * copy_file_range(2), `to` after copy-up. Returns bytes copied, which may be fewer than `length`; 0 at the end. EPERM for an
 * append-only `to`: the kernel refuses to open such a file without O_APPEND, and to copy to one opened with it.
 */
export function copyFileRange(ov: Overlay, from: DataAt, to: DataAt, length: number): number {
  refuse(ov, to.inode, APPEND_ONLY);
  const toFd = dataFd(ov, to.inode, true);
  const fromFd = dataFd(ov, from.inode, false);
  const size = Math.min(length, COPY_MAX);
  return must(sys.copyFileRange(fromFd, from.offset, toFd, to.offset, size), 'copy_file_range');
}
