/** Open files by number, each with a reference to its node. */
import { EBADF } from '../sys/errno.js';
import { fail } from '../vfs/errors.js';
import type { FileSystem } from '../vfs/filesystem.js';
import type { Fh, NodeId } from '../vfs/types.js';
import type { NodeRefs } from './node-refs.js';

interface OpenFile {
  readonly node: NodeId;
  /** The filesystem's own number for it. */
  readonly fh: Fh;
}

/** fuse-native carries 31 bits, and treats 0 as "none". */
const MAX_HANDLE = 0x7fffffff;

/** Open files. A handle is a number of ours, which libfuse keeps for each open file. */
export class Handles {
  readonly #fs: FileSystem;
  readonly #refs: NodeRefs;
  readonly #open = new Map<number, OpenFile>();
  readonly #uses = new Map<NodeId, number>();
  #last = 0;

  constructor(fs: FileSystem, refs: NodeRefs) {
    this.#fs = fs;
    this.#refs = refs;
  }

  add(node: NodeId, fh: Fh): number {
    do this.#last = this.#last >= MAX_HANDLE ? 1 : this.#last + 1;
    while (this.#open.has(this.#last));
    this.#refs.share(node);
    this.#open.set(this.#last, { node, fh });
    this.#uses.set(node, (this.#uses.get(node) ?? 0) + 1);
    return this.#last;
  }

  /** EBADF. */
  get(handle: number): OpenFile {
    return this.#open.get(handle) ?? fail(EBADF, 'handle');
  }

  /** Whether anyone has the file open. */
  isOpen(node: NodeId): boolean {
    return this.#uses.has(node);
  }

  close(handle: number): void {
    const { node, fh } = this.get(handle);
    this.#open.delete(handle);
    const uses = this.#uses.get(node)! - 1;
    if (uses === 0) this.#uses.delete(node);
    else this.#uses.set(node, uses);
    this.#fs.release(node, fh);
    this.#refs.drop(node);
  }

  /** Closes all handles: the mount has ended, and nobody else will. */
  closeAll(): void {
    for (const handle of [...this.#open.keys()]) this.close(handle);
  }
}
