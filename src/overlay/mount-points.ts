/**
 * Mount points inside layers whose mounts could not be cloned (mount-clone.ts): without privilege, `lowerdir=/` shows
 * what is mounted there. Nothing of that is touched. It may be our own mount, and a question to it would wait for us
 * for ever; other mounts are no part of the layer. What they cover can't be reached, so a directory that is a mount
 * point is shown empty, and a file is shown only if asking its filesystem does not lead back to FUSE.
 */
import { tmpdir } from 'node:os';
import * as sys from '../sys/index.js';
import { must } from '../vfs/errors.js';
import type { Layer } from './config.js';
import { RealDir } from './inode.js';

/** What is known of mounts inside layers; null in {@link Overlay} when every layer has a clone. */
export class MountPoints {
  readonly #rootMounts = new Map<Layer, number>();
  /** The stand-in for directories; -1: none could be made, null: none was needed yet. */
  #empty: number | null = null;
  readonly #work: number;

  private constructor(layers: readonly Layer[], work: number) {
    this.#work = work;
    // From now on statx(2) takes what the kernel knows: of a FUSE mount it would ask the server.
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

  /** Whether the mount that an object is on is one of FUSE. */
  isFuse(stat: sys.Stat): boolean {
    const mount = sys.readMounts().find(({ id }) => id === stat.mntId);
    return mount === undefined || mount.fsType.startsWith('fuse');
  }

  /** Stands for a mount point on `layer`: an empty directory, or null where none can be made. */
  emptyDir(layer: Layer): RealDir | null {
    this.#empty ??= emptyDirectory(this.#work);
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

/** A directory that is nowhere, so that nothing can be put into it; made in work or where temporary files go. */
function emptyDirectory(work: number): number {
  const places = [tmpdir(), '/dev/shm'].map((path) =>
    sys.openat(sys.AT_FDCWD, path, sys.O_PATH | sys.O_DIRECTORY | sys.O_CLOEXEC),
  );
  let made = -1;
  const at = `#mount-point-${process.pid}`;
  for (const place of [work, ...places]) {
    if (made >= 0 || place < 0 || sys.mkdirat(place, at, 0o755) < 0) continue;
    made = sys.openat(place, at, sys.O_PATH | sys.O_DIRECTORY | sys.O_NOFOLLOW | sys.O_CLOEXEC);
    sys.unlinkat(place, at, sys.AT_REMOVEDIR);
  }
  for (const fd of places) if (fd >= 0) sys.close(fd);
  return made;
}
