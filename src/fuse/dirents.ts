/** Packs directory entries for READDIR and READDIRPLUS. */
import type { FileSystem } from '../vfs/filesystem.js';
import type { DirSink, Entry, Name } from '../vfs/types.js';
import { DIRENT_HEAD, ENTRY_OUT } from './abi.js';
import type { Reply } from './reply.js';

/** Records are padded to 8 bytes. */
function align(size: number): number {
  return (size + 7) & ~7;
}

/**
 * The sink into which a filesystem lists a directory, as struct fuse_dirent, or fuse_direntplus in plus mode.
 *
 * A lookup counts only for an entry that is in the reply: one that does not fit is undone at once, and those already
 * packed are undone by {@link abandon} if the reply is not sent.
 */
export class Dirents implements DirSink {
  plus = false;
  /** Bytes packed. */
  used = 0;
  /** Entries packed. */
  count = 0;
  #limit = 0;
  #full = false;
  readonly #fs: FileSystem;
  readonly #reply: Reply;

  constructor(fs: FileSystem, reply: Reply) {
    this.#fs = fs;
    this.#reply = reply;
  }

  /** Begins a reply of at most `size` bytes. */
  start(plus: boolean, size: number): void {
    this.plus = plus;
    this.used = 0;
    this.count = 0;
    this.#limit = Math.min(size, this.#reply.body.length);
    this.#full = false;
  }

  /** Whether not even the first entry fitted: an empty reply would mean the end of the directory. */
  get tooSmall(): boolean {
    return this.#full && this.used === 0;
  }

  fits(name: Name): boolean {
    const head = this.plus ? ENTRY_OUT + DIRENT_HEAD : DIRENT_HEAD;
    if (this.used + align(head + name.length) <= this.#limit) return true;
    this.#full = true;
    return false;
  }

  /** In plus mode the entry has nodeid 0: the kernel takes the name, and no lookup counts. */
  add(name: Name, inoLo: number, inoHi: number, dtype: number, nextOffset: number): boolean {
    if (!this.fits(name)) return false;
    let at = this.used;
    if (this.plus) {
      this.#reply.zero(at, ENTRY_OUT);
      at += ENTRY_OUT;
    }
    this.#reply.halves(at, inoLo, inoHi);
    this.#finish(at, name, dtype, nextOffset);
    return true;
  }

  addPlus(name: Name, entry: Entry, dtype: number, nextOffset: number): boolean {
    if (!this.plus || !this.fits(name)) {
      this.#fs.forget(entry.node, 1);
      const { inoLo, inoHi } = entry.attr;
      return !this.plus && this.add(name, inoLo, inoHi, dtype, nextOffset);
    }
    const at = this.used;
    this.#reply.entryAt(at, entry);
    this.#reply.halves(at + ENTRY_OUT, entry.attr.inoLo, entry.attr.inoHi);
    this.#finish(at + ENTRY_OUT, name, dtype, nextOffset);
    return true;
  }

  /** Gives back every lookup that was packed. */
  abandon(): void {
    if (!this.plus) return;
    const end = this.used;
    this.used = 0;
    for (let at = 0; at < end; ) {
      const node = this.#reply.nodeAt(at);
      if (node !== 0) this.#fs.forget(node, 1);
      at += align(ENTRY_OUT + DIRENT_HEAD + this.#reply.u32At(at + ENTRY_OUT + 16));
    }
  }

  /** The rest of a struct fuse_dirent at `at`, whose inode number is stored already. */
  #finish(at: number, name: Name, dtype: number, nextOffset: number): void {
    const reply = this.#reply;
    reply.u64(at + 8, nextOffset);
    reply.halves(at + 16, name.length, dtype);
    const end = align(at + DIRENT_HEAD + name.length);
    // The padding must be NULs; the name then overwrites the start of its last word.
    reply.halves(end - 8, 0, 0);
    reply.text(at + DIRENT_HEAD, name);
    this.used = end;
    this.count++;
  }
}
