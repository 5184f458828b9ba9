/** Invalidating what the kernel has cached. */
import type { NodeId } from './types.js';

/** Implemented by the session. Both may be called while a request is being served; neither waits. */
export interface Notifier {
  /** Drops the cached attributes of `node`. */
  attributes(node: NodeId): void;
  /** Drops the cached listing of the directory `node`, and its attributes. */
  listing(node: NodeId): void;
}
