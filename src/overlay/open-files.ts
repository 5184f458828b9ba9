/**
 * Open files under `data=passthrough`: each has a descriptor of its real file, which the kernel reads and writes directly. Under
 * zero-message opens there are none.
 *
 * The kernel allows an inode one backing file at a time. So if a lower file is copied up while handles of it are open, a further
 * open can't be answered for that nodeid: it gets ESTALE, which makes the kernel look the name up again, and by then the name
 * has a new nodeid. Those who have the old one open keep reading the lower file.
 */
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import { type Fh, NO_FH, type OpenReply } from '../vfs/types.js';
import { copyUp } from './copy-up.js';
import { openReal } from './file.js';
import { dirOf, type Inode } from './inode.js';
import { APPEND_ONLY, IMMUTABLE, refuse } from './inode-flags.js';
import { locate } from './locate.js';
import { newInode } from './lookup.js';
import { removeName } from './names.js';
import type { Overlay } from './state.js';

interface Handle {
  readonly inode: Inode;
  readonly fd: number;
}

/** Handles of one inode: how many, and whether their real file is the one on upper. */
interface Users {
  count: number;
  readonly onUpper: boolean;
}

/** All open files of a mount. */
export class OpenFiles {
  readonly #handles = new Map<Fh, Handle>();
  readonly #users = new Map<Inode, Users>();
  #next = 1;

  /** Records an open descriptor of `inode`, and takes ownership of it. */
  add(inode: Inode, fd: number): Fh {
    const fh = this.#next++ as Fh;
    this.#handles.set(fh, { inode, fd });
    const users = this.#users.get(inode);
    if (users === undefined) this.#users.set(inode, { count: 1, onUpper: inode.hasUpper });
    else users.count++;
    return fh;
  }

  /** Closes a handle; unknown ones are ignored. */
  release(fh: Fh): void {
    const handle = this.#handles.get(fh);
    if (handle === undefined) return;
    this.#handles.delete(fh);
    sys.close(handle.fd);
    const users = this.#users.get(handle.inode)!;
    if (--users.count === 0) this.#users.delete(handle.inode);
  }

  /** Whether handles are still open on the lower file of an inode that was copied up since. */
  isStale(inode: Inode): boolean {
    const users = this.#users.get(inode);
    return users !== undefined && users.onUpper !== inode.hasUpper;
  }

  clear(): void {
    for (const { fd } of this.#handles.values()) sys.close(fd);
    this.#handles.clear();
    this.#users.clear();
  }
}

/**
 * Opens a file; for writing after copy-up, like ovl_open(). Special files have no data here. ESTALE makes the kernel look the
 * name up again.
 */
export function open(ov: Overlay, inode: Inode, flags: number, out: OpenReply): void {
  if (inode.type !== sys.S_IFREG) return;
  const writes = (flags & sys.O_ACCMODE) !== sys.O_RDONLY;
  const truncates = (flags & sys.O_TRUNC) !== 0;
  if (writes || truncates) refuse(ov, inode, IMMUTABLE);
  const appends = writes && !truncates && (flags & sys.O_APPEND) !== 0;
  if ((writes || truncates) && !appends) refuse(ov, inode, APPEND_ONLY);
  if (writes || truncates) copyUp(ov, inode, truncates ? 'none' : 'all');
  if (ov.openFiles.isStale(inode)) {
    renew(ov, inode);
    fail(sys.ESTALE, 'open after copy-up');
  }
  const fd = openReal(ov, inode, appends ? 'append' : writes || truncates ? 'write' : 'read');
  if (truncates) must(sys.ftruncate(fd, 0), 'ftruncate');
  handOver(ov, inode, fd, out);
}

/** Answers an open with a new handle for the descriptor `fd`. */
export function handOver(ov: Overlay, inode: Inode, fd: number, out: OpenReply): void {
  out.fh = ov.openFiles.add(inode, fd);
  out.backingFd = fd;
}

/** Gives the name of an inode to a new inode, and leaves the old one to those who have it open. */
function renew(ov: Overlay, inode: Inode): void {
  const { parent, name } = inode;
  if (parent === null) return;
  locate(ov, inode);
  const flags = sys.O_PATH | sys.O_NOFOLLOW | sys.O_CLOEXEC;
  inode.orphan = must(ov.open(ov.atFd, ov.atName, flags), 'openat');
  removeName(inode, parent, name);
  ov.files.drop(inode);
  if (dirOf(parent).children.has(name)) return;
  const fresh = newInode(ov, inode.type, parent, name, null);
  fresh.hasUpper = true;
  fresh.data = inode.data;
  fresh.inoLo = inode.inoLo;
  fresh.inoHi = inode.inoHi;
}

/** Closes a handle; the kernel's request carries {@link NO_FH} when there is none. */
export function release(ov: Overlay, fh: Fh): void {
  if (fh !== NO_FH) ov.openFiles.release(fh);
}
