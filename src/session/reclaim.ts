/** Returning memory after the kernel forgot many nodes: V8 keeps an unused heap for as long as nothing happens. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { FUSE_BATCH_FORGET, FUSE_FORGET } from '../fuse/abi.js';
import * as sys from '../sys/index.js';

/** How many forgotten nodes are worth a collection: about 10 MB. */
const WORTH_IT = 20_000;
/** Milliseconds of silence before a collection. */
export const CALM = 100;

/** struct fuse_batch_forget_in, after the header: the number of nodes. */
const COUNT_AT = 40;

/** Counts forgotten nodes, and collects garbage when told that there is time. */
export class Reclaimer {
  #forgotten = 0;
  #collect: (() => void) | null = null;

  request(opcode: number, request: Buffer): void {
    if (opcode === FUSE_FORGET) this.#forgotten++;
    else if (opcode === FUSE_BATCH_FORGET) this.#forgotten += request.readUInt32LE(COUNT_AT);
  }

  /** Whether a collection is worth it. */
  get due(): boolean {
    return this.#forgotten >= WORTH_IT;
  }

  /** Takes about ten milliseconds, since most of the heap is dead. */
  collect(): void {
    this.#forgotten = 0;
    if (this.#collect === null) {
      setFlagsFromString('--expose-gc');
      this.#collect = runInNewContext('gc') as () => void;
      setFlagsFromString('--no-expose-gc');
    }
    // The second collection returns the pages that the first one emptied.
    this.#collect();
    this.#collect();
    sys.mallocTrim();
  }
}
