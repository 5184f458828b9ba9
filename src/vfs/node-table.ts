/** nodeid → object, for ids that are assigned once and in order. */
import type { NodeId } from './types.js';

const CHUNK_BITS = 10;
const CHUNK = 1 << CHUNK_BITS;

interface Chunk<T> {
  readonly slots: (T | undefined)[];
  live: number;
}

/**
 * A table of live nodes. Ids are never reused, so the table grows in chunks of 1024 slots, and a chunk whose nodes are all
 * gone is dropped: 8 bytes per node, and no hashing on the path of every request.
 */
export class NodeTable<T> {
  readonly #chunks: (Chunk<T> | undefined)[] = [];
  #next = 1;
  #size = 0;

  /** Live nodes. */
  get size(): number {
    return this.#size;
  }

  /** Stores `node` under a fresh id; the first is 1, the root. */
  add(node: T): NodeId {
    const id = this.#next++;
    const index = Math.floor(id / CHUNK);
    let chunk = this.#chunks[index];
    if (chunk === undefined) {
      chunk = { slots: new Array<T | undefined>(CHUNK).fill(undefined), live: 0 };
      this.#chunks[index] = chunk;
    }
    chunk.slots[id & (CHUNK - 1)] = node;
    chunk.live++;
    this.#size++;
    return id as NodeId;
  }

  get(id: NodeId): T | undefined {
    const chunk = this.#chunks[Math.floor(id / CHUNK)];
    return chunk === undefined ? undefined : chunk.slots[id & (CHUNK - 1)];
  }

  /** All live nodes. */
  *[Symbol.iterator](): Generator<T> {
    for (const chunk of this.#chunks) {
      for (const node of chunk?.slots ?? []) if (node !== undefined) yield node;
    }
  }

  delete(id: NodeId): void {
    const index = Math.floor(id / CHUNK);
    const chunk = this.#chunks[index];
    const slot = id & (CHUNK - 1);
    if (chunk?.slots[slot] === undefined) return;
    chunk.slots[slot] = undefined;
    this.#size--;
    // The chunk that new ids are taken from stays.
    if (--chunk.live === 0 && index !== Math.floor(this.#next / CHUNK)) this.#chunks[index] = undefined;
  }
}
