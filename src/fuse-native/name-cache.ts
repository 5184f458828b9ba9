/** Path → node, for a filesystem that knows only names in directories. */
import { LRUCache } from 'lru-cache';
import { ENOENT } from '../sys/errno.js';
import { fail } from '../vfs/errors.js';
import type { FileSystem } from '../vfs/filesystem.js';
import { type Attr, type Caller, Entry, type NodeId, ROOT_ID } from '../vfs/types.js';
import type { NodeRefs } from './node-refs.js';
import { splitPath } from './text.js';

/** A name that was looked up. It holds one reference to its node, and is evicted together with its directory. */
interface Known {
  readonly path: string;
  readonly node: NodeId;
  readonly parent: Known | null;
  readonly children: Set<Known>;
}

/**
 * Names stay valid until we change them, since the layers of a mount are ours alone. Using a name makes its directories the
 * most recently used ones, so that leaves are evicted first; evicting a directory evicts everything below it.
 */
export class NameCache {
  readonly #fs: FileSystem;
  readonly #refs: NodeRefs;
  readonly #caller: Caller;
  readonly #root: Known = { path: '/', node: ROOT_ID, parent: null, children: new Set() };
  readonly #cache: LRUCache<string, Known>;
  readonly #entry = new Entry();
  /** Node whose attributes `#entry` holds, looked up during the current {@link find}; null: none. */
  #fresh: NodeId | null = null;

  constructor(fs: FileSystem, refs: NodeRefs, caller: Caller, max = 65_536) {
    this.#fs = fs;
    this.#refs = refs;
    this.#caller = caller;
    this.#cache = new LRUCache({ max, disposeAfter: (known) => this.#gone(known) });
  }

  /** The node at `path` (bytes as latin1). ENOENT, ENOTDIR. */
  find(path: string): NodeId {
    this.#fresh = null;
    return this.#walk(path).node;
  }

  /** Attributes of a node that {@link find} has just returned, if it had to look them up anyway; else null. */
  freshAttr(node: NodeId): Attr | null {
    return this.#fresh === node ? this.#entry.attr : null;
  }

  /** Remembers what an operation has just made at `path`, with the lookup that it counted. */
  add(path: string, node: NodeId): void {
    this.drop(path);
    const [parent] = splitPath(path);
    this.#remember(this.#walk(parent), path, node);
  }

  /** Forgets `path` and everything below: its name is gone or means something else. */
  drop(path: string): void {
    this.#cache.delete(path);
  }

  clear(): void {
    this.#cache.clear();
  }

  #walk(path: string): Known {
    if (path === '/') return this.#root;
    const hit = this.#cache.get(path);
    if (hit !== undefined) {
      this.#touch(hit.parent);
      return hit;
    }
    const [directory, name] = splitPath(path);
    const parent = this.#walk(directory);
    if (!this.#fs.lookup(parent.node, name, this.#caller, this.#entry)) fail(ENOENT, 'lookup');
    this.#fresh = this.#entry.node;
    return this.#remember(parent, path, this.#entry.node);
  }

  #remember(parent: Known, path: string, node: NodeId): Known {
    const known = { path, node, parent, children: new Set<Known>() };
    this.#refs.take(node);
    parent.children.add(known);
    this.#cache.set(path, known);
    this.#touch(parent);
    return known;
  }

  #touch(from: Known | null): void {
    for (let up = from; up !== null; up = up.parent) this.#cache.get(up.path);
  }

  #gone(known: Known): void {
    known.parent?.children.delete(known);
    this.#refs.drop(known.node);
    for (const child of [...known.children]) this.#cache.delete(child.path);
  }
}
