/**
 * What an overlay is made of, between option parsing (options.ts), opening (layers.ts, on the main thread, where a
 * bad layer becomes one clear sentence) and the running core (overlay.ts, on the session thread). Plain data, because it is
 * posted to the session thread; descriptors are numbers, valid in every thread of the process.
 */

import type { Jobs } from '../vfs/jobs.js';
import type { Log } from '../vfs/log.js';
import type { Notifier } from '../vfs/notify.js';
import type { DataMode } from '../vfs/types.js';

/** Options with the kernel's names and meanings; see option-table.ts for the table that parses and prints them. */
export interface OverlayOptions {
  /** Lower directories, top first, as given by the user (latin1 bytes). */
  readonly lowerdir: readonly string[];
  /** Data-only lower directories (after `::`), top first. */
  readonly datadir: readonly string[];
  readonly upperdir: string | null;
  readonly workdir: string | null;
  readonly readOnly: boolean;
  /** When access times are set on upper: MOUNT_ATTR_*ATIME, as on the mount itself; 0 is relatime. */
  readonly accessTimes: number;
  /** `off` in an option means `follow` or `nofollow`, as for the kernel; see option-table.ts. */
  readonly redirectDir: 'on' | 'follow' | 'nofollow';
  readonly metacopy: boolean;
  readonly index: boolean;
  readonly xino: 'off' | 'auto' | 'on';
  readonly userxattr: boolean;
  readonly volatile: boolean;
  /** Whether filesystem uuids go into origins, and whether the upper root gets a uuid of its own. */
  readonly uuid: 'off' | 'null' | 'auto' | 'on';
  readonly fsync: 'auto' | 'strict' | 'volatile';
  /** POSIX ACLs offered to callers. */
  readonly acl: boolean;
  /** Extended attributes offered to callers. */
  readonly xattrs: boolean;
  /** How whiteouts are written: in the kernel's form, or where device nodes can't exist, as xattr files or `.wh.` names. */
  readonly whiteout: 'chardev' | 'xattr' | 'aufs';
  /** Read AUFS/OCI `.wh.` names in layers, as containers/storage extracts them. */
  readonly whPrefix: boolean;
  readonly uidmapping: string | null;
  readonly gidmapping: string | null;
  readonly squashToUid: number | null;
  readonly squashToGid: number | null;
  /** Every directory has a link count of 1. */
  readonly staticNlink: boolean;
  /** fuse-overlayfs `xattr_permissions`: 0, 1 or 2. */
  readonly xattrPermissions: 0 | 1 | 2;
}

/** One layer, opened. */
export interface Layer {
  /** 0 is the topmost layer (upper if there is one), counting down. Data-only layers come last. */
  readonly index: number;
  readonly kind: 'upper' | 'lower' | 'data';
  /** Absolute path, for messages. */
  readonly path: string;
  /** O_PATH descriptor of the root, on a private non-recursive clone of its mount where permitted. */
  readonly root: number;
  /**
   * A descriptor on the same filesystem for openByHandle(), which takes no O_PATH ones; layers share it. -1 when
   * handles can't be opened.
   */
  readonly handleFd: number;
  /** Device numbers of its filesystem. */
  readonly devMajor: number;
  readonly devMinor: number;
  /** Number of its filesystem: 0 is the upper's, also when there is no upper; then counting in layer order. */
  readonly fsid: number;
  /** Filesystem uuid as origins carry it, 16 bytes; null when unknown, all zero, or with uuid=off. */
  readonly uuid: Uint8Array | null;
  /** Origins that carry `uuid` may be looked up in this layer: no other filesystem of this overlay claims the same uuid. */
  readonly originOk: boolean;
  /**
   * The root is on a private clone of its mount that has no other mounts below, so mounts can't be crossed.
   * The clone may start at an ancestor of the root, so `..` of the root must never be resolved.
   */
  readonly cloned: boolean;
  /** Upper or work lie inside of it: see traps.ts. */
  readonly holdsTraps: boolean;
  /**
   * Name of the xattr in which this layer's objects keep owner and mode (override-stat.ts); null: the objects have
   * their own.
   */
  readonly override: string | null;
}

/** What the upper's filesystem can do, probed when mounting. */
export interface UpperFeatures {
  /** `overlay.*` xattrs can be set with the active prefix. */
  readonly xattr: boolean;
  /** mknod of a device 0:0 works. */
  readonly chardev: boolean;
  /** Objects can be put in place in one step: by RENAME_EXCHANGE, or with `whiteout=aufs` by RENAME_NOREPLACE. */
  readonly renameFlags: boolean;
  /** RENAME_WHITEOUT works. */
  readonly renameWhiteout: boolean;
  readonly tmpfile: boolean;
  readonly reflink: boolean;
  /** name_to_handle_at works, so `origin` can be written. */
  readonly handles: boolean;
  /** After a crash, if a name exists, so does the data written before it was given: see commit-order.ts. */
  readonly commitsInOrder: boolean;
}

/** A directory by its identity. Inode halves as Stat has them. */
export interface Trap {
  readonly devMajor: number;
  readonly devMinor: number;
  readonly inoLo: number;
  readonly inoHi: number;
}

/** All layers opened and checked. */
export interface OpenedLayers {
  /** The options in force: as given, less what the upper's filesystem or this process can't do (see `warnings`). */
  readonly options: OverlayOptions;
  /** Sentences for the user about options that were given up. */
  readonly warnings: readonly string[];
  /** Top first: upper (if any), lowers, then data-only layers. */
  readonly layers: readonly Layer[];
  /** `layers[0]` is the upper. It may still be read-only: see `options.readOnly`. */
  readonly hasUpper: boolean;
  /** O_PATH descriptor of `workdir/work` on the upper's cloned mount; -1 without an upper or when read-only. */
  readonly work: number;
  /** O_PATH descriptor of `workdir/index`; -1 unless index=on. */
  readonly indexDir: number;
  /** A volatile mount's sensor for lost writes (lost-writes.ts), for syncfs(2); -1: there is none. */
  readonly sensor: number;
  readonly features: UpperFeatures;
  /**
   * upperdir and workdir, which may lie inside a lower (`lowerdir=/`): a lookup that finds one of them there must fail with
   * ELOOP, like the kernel's traps, or the overlay would show its own parts.
   */
  readonly traps: readonly Trap[];
  /**
   * Bits above the inode numbers for the fsid when layers span filesystems; 0: all on one, -1: xino off. The number
   * is `ino | fsid << (64 - xinoBits + 1)`: the lowest of these bits is reserved for numbers that had to be made up.
   */
  readonly xinoBits: number;
  /** This process may open by handle (CAP_DAC_READ_SEARCH in the initial namespace). */
  readonly canOpenByHandle: boolean;
  /** This process may take other identities (CAP_SETUID and friends). */
  readonly privileged: boolean;
  /** The kernel runs SELinux: files may be asked for their labels. */
  readonly hasLabels: boolean;
  /** Every open descriptor, including those that only hold a clone or a lock: see closeLayers(). */
  readonly descriptors: readonly number[];
}

/** What the core gets from its surroundings. */
export interface OverlayServices {
  readonly jobs: Jobs;
  readonly notify: Notifier;
  readonly log: Log;
  readonly dataMode: DataMode;
  /** Called for each copy-up with the bytes of data copied, for statistics. */
  readonly copiedUp?: (bytes: number) => void;
  /** Where hits and misses are counted: see cache-counts.ts. */
  readonly cacheCounts?: Float64Array;
}
