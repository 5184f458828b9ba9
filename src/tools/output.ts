/** Where tools write to. */
import {
  createWriteStream,
  lstatSync,
  openSync,
  readlinkSync,
  realpathSync,
  renameSync,
  statSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { Writable } from 'node:stream';
import { UserError } from '../overlay/user-error.js';
import * as sys from '../sys/index.js';
import { check, quoted, tried } from './text.js';

/** How many symlinks to follow, as in the kernel. */
const MOST_LINKS = 40;
const UP = sys.O_PATH | sys.O_DIRECTORY | sys.O_CLOEXEC;

/** A directory within its filesystem. */
function identity(fd: number, path: string): { readonly device: string; readonly key: number } {
  const stat = new sys.Stat();
  check(sys.fstatx(fd, stat), 'read', path);
  return { device: `${stat.devMajor}:${stat.devMinor}`, key: sys.inodeNumber(stat) };
}

/**
 * Throws a UserError when the open directory `parent` is one of `tops` or lies in one: the output would be read as part of the
 * layer. Mounts inside a layer are not part of it.
 */
export function refuseInside(parent: number, tops: readonly number[], path: string): void {
  const layers = tops.map((top) => identity(top, path));
  let at = check(sys.openat(parent, '.', UP), 'open', path);
  try {
    const { device } = identity(at, path);
    for (let before = -1; ; ) {
      const here = identity(at, path);
      if (here.device !== device || here.key === before) return;
      if (layers.some((layer) => layer.device === device && layer.key === here.key))
        throw new UserError(`'${quoted(path)}' lies in a layer that is read; choose another place.`);
      before = here.key;
      const up = check(sys.openat(at, '..', UP), 'open', path);
      sys.close(at);
      at = up;
    }
  } finally {
    sys.close(at);
  }
}

/**
 * Where a path leads when nothing is there yet: symlinks in its last component are followed. The rest is left to the kernel, since
 * text can't tell what `..` means after a symlink.
 */
function followed(path: string): string {
  let at = path;
  for (let steps = 0; steps < MOST_LINKS; steps++) {
    const bytes = Buffer.from(at, 'latin1');
    if (lstatSync(bytes, { throwIfNoEntry: false })?.isSymbolicLink() !== true) break;
    const target = readlinkSync(bytes, 'buffer').latin1Slice();
    at = target.startsWith('/') ? target : `${dirname(at)}/${target}`;
  }
  return at;
}

/** A file that a tool writes, which appears only when it is complete. */
export class OutputFile {
  /** The final path, with symlinks followed; latin1. */
  readonly target: string;
  readonly #path: Buffer;
  /** The temporary path; null for an output that can't be replaced: a device, a pipe, a dangling symlink. */
  readonly #temporary: Buffer | null;

  /** `path`: latin1. Symlinks are followed. */
  constructor(path: string) {
    const bytes = Buffer.from(path, 'latin1');
    const there = tried('write', path, () => statSync(bytes, { throwIfNoEntry: false }));
    const isNew = there === undefined && lstatSync(bytes, { throwIfNoEntry: false }) === undefined;
    this.#path = there?.isFile() === true ? realpathSync(bytes, { encoding: 'buffer' }) : bytes;
    this.target = there === undefined ? followed(path) : this.#path.latin1Slice();
    const isReplaced = isNew || there?.isFile() === true;
    this.#temporary = isReplaced ? Buffer.concat([this.#path, Buffer.from(`.${process.pid}.tmp`)]) : null;
  }

  /** Throws an error of the system. */
  stream(): Writable {
    if (this.#temporary === null) return createWriteStream(this.#path);
    // Opened now: a file that another thread opens later could appear after discard().
    return createWriteStream('', { fd: openSync(this.#temporary, 'wx') });
  }

  commit(): void {
    // commit point
    if (this.#temporary !== null) renameSync(this.#temporary, this.#path);
  }

  discard(): void {
    if (this.#temporary !== null) sys.unlinkat(sys.AT_FDCWD, this.#temporary.latin1Slice());
  }
}
