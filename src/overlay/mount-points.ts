/**
 * Mount points inside layers whose mounts could not be cloned (mount-clone.ts): without privilege, `lowerdir=/` includes whatever
 * is mounted there. None of it is touched: it may be our own mount, where a request would deadlock, and other mounts are not part
 * of the layer. What they cover can't be reached, so a directory that is a mount point is shown empty, and a file is shown only
 * if its filesystem is not FUSE.
 */
import { tmpdir } from 'node:os';
import * as sys from '../sys/index.js';
import { fail, must } from '../vfs/errors.js';
import type { Layer } from './config.js';
import { RealDir } from './inode.js';

/** Detects mounts inside layers; null in {@link Overlay} when every layer has a clone. */
export class MountPoints {
  readonly #rootMounts = new Map<Layer, number>();
  /** Descriptor of the empty directory shown for mount points; -1: none could be made, null: not needed yet. */
  #empty: number | null = null;
  readonly #work: number;

  private constructor(layers: readonly Layer[], work: number) {
    this.#work = work;
    // From now on statx(2) uses what the kernel has cached: for a FUSE mount it would otherwise ask the server.
    sys.trustCachedAttributes();
    const stat = new sys.Stat();
    for (const layer of layers) {
      if (layer.cloned) continue;
      must(sys.fstatx(layer.root, stat), 'statx');
      this.#rootMounts.set(layer, stat.mntId);
    }
  }

  /** `work`: the work directory's descriptor, or -1. */
  static of(layers: readonly Layer[], work: number): MountPoints | null {
    return layers.every((layer) => layer.cloned) ? null : new MountPoints(layers, work);
  }

  /** Whether the object with these attributes, found on `layer`, is the root of another mount. */
  isCrossed(layer: Layer, stat: sys.Stat): boolean {
    const mount = this.#rootMounts.get(layer);
    return mount !== undefined && stat.mntId !== mount;
  }

  /** The same for the directory `name` in `dir`. */
  isMountPoint(dir: RealDir, dirfd: number, name: string, stat: sys.Stat): boolean {
    return sys.statx(dirfd, name, stat) >= 0 && this.isCrossed(dir.layer, stat);
  }

  /** Whether the mount that an object is on, one of `mounts`, is FUSE or unknown. */
  isFuse(stat: sys.Stat, mounts: readonly sys.MountInfo[]): boolean {
    const mount = mounts.find(({ id }) => id === stat.mntId);
    return mount === undefined || mount.fsType.startsWith('fuse');
  }

  /** The empty directory shown for a mount point on `layer`; null where none can be made. EMFILE, ENFILE. */
  emptyDir(layer: Layer, open: typeof sys.openat): RealDir | null {
    if (this.#empty === null) {
      const made = emptyDirectory(this.#work, open);
      // A shortage of descriptors is temporary; the lack of a place for the directory is not.
      if (made === -sys.EMFILE || made === -sys.ENFILE) fail(-made, 'stand-in for a mount point');
      this.#empty = made;
    }
    if (this.#empty < 0) return null;
    return new RealDir({ ...layer, kind: 'lower', root: this.#empty, originOk: false }, null, '');
  }

  /** Whether `layer` is that of an {@link emptyDir}. */
  isStandIn(layer: Layer): boolean {
    return layer.root === this.#empty;
  }

  dispose(): void {
    if (this.#empty !== null && this.#empty >= 0) sys.close(this.#empty);
  }
}

/**
 * Makes a directory in work or in a place for temporary files and removes its name, so that nothing can be created in it. Returns
 * a descriptor, or -errno of the last attempt.
 */
function emptyDirectory(work: number, open: typeof sys.openat): number {
  let made = work < 0 ? work : emptyIn(work, open);
  for (const path of [tmpdir(), '/dev/shm']) {
    if (made >= 0) break;
    const place = open(sys.AT_FDCWD, path, sys.O_PATH | sys.O_DIRECTORY | sys.O_CLOEXEC);
    made = place < 0 ? place : emptyIn(place, open);
    if (place >= 0) sys.close(place);
  }
  return made;
}

function emptyIn(place: number, open: typeof sys.openat): number {
  const at = `#mount-point-${process.pid}`;
  const rc = sys.mkdirat(place, at, 0o755);
  if (rc < 0) return rc;
  const made = open(place, at, sys.O_PATH | sys.O_DIRECTORY | sys.O_NOFOLLOW | sys.O_CLOEXEC);
  sys.unlinkat(place, at, sys.AT_REMOVEDIR);
  return made;
}
