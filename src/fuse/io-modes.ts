/** Backing files for passthrough: how the data of each open node travels. */
import { errnoName } from '../sys/errno.js';
import type { Log } from '../vfs/log.js';
import type { Fh, NodeId } from '../vfs/types.js';

/** How the session registers backing files (FUSE_DEV_IOC_BACKING_OPEN and _CLOSE on the device). */
export interface BackingDevice {
  /** Registers an open descriptor. Returns a backing id (> 0) or -errno. */
  onBackingOpen(fd: number): number;
  /** Gives a backing id back. */
  onBackingClose(id: number): void;
}

/** No backing id: data goes through the page cache and this server. */
const CACHED = 0;

interface Mode {
  /** Backing id of passthrough, or {@link CACHED}. Set once. */
  readonly id: number;
  readonly users: Set<Fh>;
}

/**
 * The io mode of every open node. The kernel (fs/fuse/iomode.c) lets an inode be open either cached or passthrough,
 * never both, and with one backing file only; it compares registrations, not files. So the first handle of a node
 * decides, the others join, and the last one to be released gives the backing id back.
 *
 * The filesystem keeps the other half of the rule: a node's backing file stays the same while it has handles. After a
 * copy-up, OPEN is answered with ESTALE, and the next lookup gets a new nodeid.
 */
export class IoModes {
  readonly #modes = new Map<NodeId, Mode>();
  readonly #device: BackingDevice;
  readonly #log: Log;
  /** Errors that were already reported. */
  readonly #reported = new Set<number>();

  constructor(device: BackingDevice, log: Log) {
    this.#device = device;
    this.#log = log;
  }

  /**
   * A handle is being opened; `fd` is its backing file, or -1 for none. Returns the backing id, or 0 when it must be
   * opened cached.
   */
  open(node: NodeId, fh: Fh, fd: number): number {
    let mode = this.#modes.get(node);
    if (mode === undefined) {
      mode = { id: fd < 0 ? CACHED : this.#register(node, fd), users: new Set() };
      this.#modes.set(node, mode);
    }
    mode.users.add(fh);
    return mode.id;
  }

  /** A handle was released. */
  release(node: NodeId, fh: Fh): void {
    const mode = this.#modes.get(node);
    if (mode === undefined || !mode.users.delete(fh) || mode.users.size > 0) return;
    this.#modes.delete(node);
    if (mode.id !== CACHED) this.#device.onBackingClose(mode.id);
  }

  #register(node: NodeId, fd: number): number {
    const id = this.#device.onBackingOpen(fd);
    if (id > 0) return id;
    // ELOOP: the layer's filesystem is stacked too deep. EPERM: no CAP_SYS_ADMIN.
    const level = this.#reported.has(id) ? 'debug' : 'warn';
    this.#reported.add(id);
    this.#log[level]({ node, error: errnoName(id) }, 'no passthrough for this file: opened cached');
    return CACHED;
  }
}
