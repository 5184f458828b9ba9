/** A regular file being built in work: first its data, copied on this thread or on a helper. */
import * as sys from '../sys/index.js';
import { Deferred, fail } from '../vfs/errors.js';
import type { Job } from '../vfs/jobs.js';
import type { Inode } from './inode.js';
import { openData } from './locate.js';
import type { Overlay } from './state.js';
import { discard, tempName } from './temp.js';

/** A file in work, open for writing: unnamed (O_TMPFILE) or under a temporary name. Descriptors are owned. */
export interface NewFile {
  readonly fd: number;
  readonly temp: string | null;
  /** Descriptor of the data to copy. */
  readonly source: number;
  /** Bytes of data to copy. */
  readonly size: number;
  /** File capability to restore after the copy. */
  capability?: Buffer;
}

/** A copy-up whose data is being copied on a helper thread. */
export interface PendingCopyUp {
  readonly job: number;
  readonly copy: NewFile;
}

/** Bytes; smaller files are copied on the session thread, because a hop to a helper costs as much. */
const INLINE_COPY = 256 * 1024;

/** A new file with the first `size` bytes of the inode's data. Throws Deferred when that takes long. */
export function newFileWithData(ov: Overlay, inode: Inode, size: number): NewFile {
  const source = openData(ov, inode);
  const copy = newFile(ov, source, size);
  if (size > 0) startCopy(ov, inode, copy);
  return copy;
}

/**
 * Copies the data and flushes it as far as copy-ups must survive a crash. {@link dataWritten} must follow before the commit
 * point. Throws FsError, or Deferred when it takes long.
 */
export function startCopy(ov: Overlay, inode: Inode, copy: NewFile): void {
  const { size } = copy;
  const flush = ov.copyFlush;
  const cloned = ov.opened.features.reflink && sys.ficlone(copy.fd, copy.source) >= 0;
  if (!cloned && size > INLINE_COPY) {
    defer(ov, inode, copy, { kind: 'copy', from: copy.source, to: copy.fd, size, flush });
  }
  if (!cloned) {
    // ov.stat describes the file being copied, or its metacopy, which consists of holes.
    const dense = ov.stat.blocks * 512 >= size;
    const rc = (dense ? sys.copyDense : sys.copyData)(copy.source, copy.fd, size);
    if (rc < 0) {
      abandon(ov, copy);
      fail(-rc, 'copy-up');
    }
  }
  if (flush === 'durable') defer(ov, inode, copy, { kind: 'fsync', fd: copy.fd });
  if (flush === 'written' && ov.writeOuts.begin(copy.fd)) {
    defer(ov, inode, copy, { kind: 'write-out', fd: copy.fd });
  }
}

/** Waits until the data of a copy is written, if the mount requires that. Returns 0 or -errno. */
export function dataWritten(ov: Overlay, copy: NewFile): number {
  return ov.copyFlush === 'written' ? ov.writeOuts.finish(copy.fd) : 0;
}

function defer(ov: Overlay, inode: Inode, copy: NewFile, job: Job): never {
  const number = ov.services.jobs.start(job);
  inode.pending = { job: number, copy };
  throw new Deferred(number);
}

/** The pending copy of `inode`, once it is complete. Throws Deferred until then, FsError when it failed. */
export function takePending(ov: Overlay, inode: Inode): NewFile {
  const { job, copy } = inode.pending!;
  const rc = ov.services.jobs.take(job);
  if (rc === null) throw new Deferred(job);
  inode.pending = null;
  if (rc < 0) {
    abandon(ov, copy);
    fail(-rc, 'copy-up');
  }
  return copy;
}

function newFile(ov: Overlay, source: number, size: number): NewFile {
  const flags = sys.O_RDWR | sys.O_CLOEXEC;
  let temp: string | null = null;
  let fd: number;
  if (ov.opened.features.tmpfile) {
    fd = ov.open(ov.work, '.', flags | sys.O_TMPFILE, 0o600);
  } else {
    temp = tempName(ov);
    fd = ov.open(ov.work, temp, flags | sys.O_CREAT | sys.O_EXCL, 0o600);
  }
  if (fd < 0) {
    sys.close(source);
    fail(-fd, 'copy-up');
  }
  return { fd, temp, source, size };
}

/** Gives a finished file a free name in the upper directory `upperFd`. Returns 0 or -errno. */
export function nameFile(ov: Overlay, copy: NewFile, upperFd: number, name: string): number {
  if (copy.temp !== null) return sys.renameat2(ov.work, copy.temp, upperFd, name, sys.RENAME_NOREPLACE);
  // Linking by descriptor alone requires CAP_DAC_READ_SEARCH.
  if (ov.opened.canOpenByHandle) return sys.linkat(copy.fd, '', upperFd, name, sys.AT_EMPTY_PATH);
  return sys.linkat(sys.AT_FDCWD, `/proc/self/fd/${copy.fd}`, upperFd, name, sys.AT_SYMLINK_FOLLOW);
}

/** Discards a copy. */
export function abandon(ov: Overlay, copy: NewFile): void {
  sys.close(copy.source);
  sys.close(copy.fd);
  if (copy.temp !== null) discard(ov, copy.temp, false);
}
