/** Balanced forgets: counts the users of each node within this transport. */
import type { FileSystem } from '../vfs/filesystem.js';
import type { NodeId } from '../vfs/types.js';

interface Count {
  /** Lookups that the filesystem has counted. */
  given: number;
  /** Places here that hold the node: cached names, open files, unlinked ones. */
  users: number;
}

/** Forgets all lookups of a node when its last user is gone. */
export class NodeRefs {
  readonly #fs: FileSystem;
  readonly #counts = new Map<NodeId, Count>();

  constructor(fs: FileSystem) {
    this.#fs = fs;
  }

  /** Nodes in use; 0 when everything was forgotten. */
  get size(): number {
    return this.#counts.size;
  }

  /** A new user, with a lookup that was just counted. */
  take(node: NodeId): void {
    const count = this.#counts.get(node);
    if (count === undefined) this.#counts.set(node, { given: 1, users: 1 });
    else {
      count.given++;
      count.users++;
    }
  }

  /** A further user of a node that is in use. The root needs none: it is never forgotten. */
  share(node: NodeId): void {
    const count = this.#counts.get(node);
    if (count !== undefined) count.users++;
  }

  /** One user less. */
  drop(node: NodeId): void {
    const count = this.#counts.get(node);
    if (count === undefined || --count.users > 0) return;
    this.#counts.delete(node);
    this.#fs.forget(node, count.given);
  }
}
