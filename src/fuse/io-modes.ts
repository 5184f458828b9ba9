/** Backing files of passthrough: which open file uses which registration with the kernel. */
import type { Fh, NodeId } from '../vfs/types.js';

/** How the session registers backing files (FUSE_DEV_IOC_BACKING_OPEN and _CLOSE on the device). */
export interface BackingDevice {
  /** Registers an open descriptor. Returns a backing id (> 0) or -errno. */
  onBackingOpen(fd: number): number;
  /** Gives a backing id back. */
  onBackingClose?(id: number): void;
}

interface Backing {
  readonly id: number;
  readonly users: Set<Fh>;
}

/**
 * The kernel lets one inode have one backing file at a time, and compares registrations, not files: a second open
 * of a node must carry the id of the first one. So an id lives as long as any handle of its node uses it.
 *
 * The filesystem keeps the other half of the rule: while a node has passthrough handles its backing file stays the
 * same; after a copy-up it answers OPEN with ESTALE, and the next lookup gets a new nodeid.
 */
export class IoModes {
  readonly #nodes = new Map<NodeId, Backing>();
  readonly #device: BackingDevice;

  constructor(device: BackingDevice) {
    this.#device = device;
  }

  /** The backing id for a handle that is being opened, or -errno: then it must be opened without passthrough. */
  acquire(node: NodeId, fh: Fh, fd: number): number {
    let backing = this.#nodes.get(node);
    if (backing === undefined) {
      const id = this.#device.onBackingOpen(fd);
      if (id <= 0) return id;
      backing = { id, users: new Set() };
      this.#nodes.set(node, backing);
    }
    backing.users.add(fh);
    return backing.id;
  }

  /** A handle was released; harmless for one without passthrough. */
  release(node: NodeId, fh: Fh): void {
    const backing = this.#nodes.get(node);
    if (backing === undefined || !backing.users.delete(fh) || backing.users.size > 0) return;
    this.#nodes.delete(node);
    this.#device.onBackingClose?.(backing.id);
  }

  /** Nodes that have a backing file now. */
  get size(): number {
    return this.#nodes.size;
  }
}
