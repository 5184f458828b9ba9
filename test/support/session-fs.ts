/**
 * A small read-only filesystem for tests of the session: a few files in one directory, and some that misbehave.
 * It is loaded on the session thread in place of the overlay.
 */
import { closeSync, existsSync, openSync } from 'node:fs';
import type { OpenedLayers, OverlayServices } from '../../src/overlay/config.js';
import { UserError } from '../../src/overlay/user-error.js';
import { ENOENT, ENOSYS, EROFS } from '../../src/sys/errno.js';
import { Deferred, fail } from '../../src/vfs/errors.js';
import type { FileSystem } from '../../src/vfs/filesystem.js';
import { type Attr, type DirSink, type Entry, type NodeId, ROOT_ID } from '../../src/vfs/types.js';

const S_IFDIR = 0o040000;
const S_IFREG = 0o100000;

/** Files and what is in them. */
const FILES: readonly (readonly [string, string])[] = [
  ['hello', 'hello, world\n'],
  /** Its data is available after a job: a copy of a big file. */
  ['slow', 'at last\n'],
  /** Reading it throws an error that is no FsError. */
  ['bug', 'never seen\n'],
  /** Reading it ends the session thread. */
  ['crash', 'never seen\n'],
];

function nodeOf(name: string): NodeId | null {
  const i = FILES.findIndex(([file]) => file === name);
  return i < 0 ? null : ((i + 2) as NodeId);
}

function fileOf(node: NodeId): readonly [string, string] {
  return FILES[node - 2] ?? fail(ENOENT);
}

function fillAttr(node: NodeId, out: Attr): void {
  const isRoot = node === ROOT_ID;
  out.inoLo = node;
  out.inoHi = 0;
  out.mode = isRoot ? S_IFDIR | 0o755 : S_IFREG | 0o644;
  out.size = isRoot ? 0 : fileOf(node)[1].length;
  out.nlink = 1;
  out.blksize = 4096;
}

function list(offset: number, sink: DirSink): void {
  const names = ['.', '..', ...FILES.map(([name]) => name)];
  for (let i = offset; i < names.length; i++) {
    const name = names[i]!;
    if (sink.plus && i >= 2) {
      const entry = { node: nodeOf(name)!, attr: newAttr() } as Entry;
      fillAttr(entry.node, entry.attr);
      if (!sink.addPlus(name, entry, 8, i + 1)) return;
    } else if (!sink.add(name, i + 1, 0, i < 2 ? 4 : 8, i + 1)) return;
  }
}

function newAttr(): Attr {
  return {
    ...{ inoLo: 0, inoHi: 0, size: 0, blocks: 0, atime: 0, mtime: 0, ctime: 0, atimeNsec: 0, mtimeNsec: 0 },
    ...{ ctimeNsec: 0, btime: 0, btimeNsec: 0, hasBtime: false, mode: 0, nlink: 0, uid: 0, gid: 0 },
    ...{ rdevMajor: 0, rdevMinor: 0, blksize: 0 },
  };
}

/**
 * Reads of `slow` wait until `$PLYFS_TEST_FROM` is copied to `$PLYFS_TEST_TO`: once, or again and again until there is a
 * file `$PLYFS_TEST_UNTIL`.
 */
class SlowFile {
  readonly #services: OverlayServices;
  #job = 0;
  #done = false;
  readonly #fds: number[] = [];

  constructor(services: OverlayServices) {
    this.#services = services;
  }

  wait(): void {
    if (this.#done) return;
    const result = this.#job === 0 ? null : this.#services.jobs.take(this.#job);
    const until = process.env['PLYFS_TEST_UNTIL'];
    const again = result === 0 && until !== undefined && !existsSync(until);
    if (result !== null && !again) {
      this.#done = true;
      if (result < 0) fail(-result);
      return;
    }
    if (this.#job === 0 || again) this.#job = this.#start();
    throw new Deferred(this.#job);
  }

  #start(): number {
    for (const fd of this.#fds.splice(0)) closeSync(fd);
    const from = openSync(process.env['PLYFS_TEST_FROM']!, 'r');
    const to = openSync(process.env['PLYFS_TEST_TO']!, 'w');
    this.#fds.push(from, to);
    const size = Number(process.env['PLYFS_TEST_SIZE']);
    return this.#services.jobs.start({ kind: 'copy', from, to, size, flush: 'none' });
  }
}

function misbehave(name: string, slow: SlowFile): void {
  if (name === 'slow') slow.wait();
  if (name === 'bug') throw new Error('a bug, on purpose');
  if (name === 'crash') process.exit(7);
}

/** The factory that the session thread calls. */
export function createOverlay(_: OpenedLayers, services: OverlayServices): FileSystem {
  if (process.env['PLYFS_TEST_REFUSE'] !== undefined) throw new UserError('the test filesystem refuses.');
  const slow = new SlowFile(services);
  const methods: Partial<FileSystem> = {
    lookup(_parent, name, _caller, out) {
      const node = nodeOf(name);
      if (node === null) return false;
      out.node = node;
      fillAttr(node, out.attr);
      return true;
    },
    forget() {},
    getattr(node, _fh, out) {
      fillAttr(node, out);
    },
    read(node, _fh, offset, into, size) {
      const [name, text] = fileOf(node);
      misbehave(name, slow);
      const part = Buffer.from(text.slice(offset, offset + size));
      into.set(part);
      return part.length;
    },
    readdir(_node, _fh, offset, _caller, sink) {
      list(offset, sink);
    },
    opendir: () => fail(ENOSYS),
    getxattr: () => -61,
    listxattr: () => 0,
    statfs() {},
    syncfs() {},
    rest() {
      if (process.env['PLYFS_TEST_RESTLESS'] !== undefined) throw new Error('no rest, on purpose');
    },
    destroy() {},
  };
  return new Proxy(methods as FileSystem, {
    get: (target, name) => Reflect.get(target, name) ?? (() => fail(EROFS)),
  });
}
