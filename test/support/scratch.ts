/**
 * A place for layers: a directory on a filesystem that can hold what an upper needs (device nodes, trusted.* and
 * user.* xattrs, ACLs) and that kernel overlayfs accepts as an upper, so not an overlay itself, as /tmp often is in
 * a container.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, statfsSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import * as sys from '../../src/sys/index.js';

export const isRoot = process.getuid?.() === 0;

/** Whether this process may mount (CAP_SYS_ADMIN): root in a container often may not. */
export const mayMount =
  isRoot &&
  (Number.parseInt(
    /^CapEff:\s*[0-9a-f]*([0-9a-f]{8})$/m.exec(readFileSync('/proc/self/status', 'utf8'))?.[1] ?? '0',
    16,
  ) &
    (1 << 21)) !==
    0;
const OVERLAY_MAGIC = 0x794c7630;
const SCRATCH_PREFIX = 'plyfs-test-';

export class Scratch {
  readonly path: string;
  readonly #mounted: boolean;
  #next = 0;

  /** A fresh tmpfs when root (fast, and has all features since Linux 6.6), else a plain directory. */
  constructor() {
    const base = process.env['PLYFS_TEST_DIR'] ?? tmpdir();
    this.path = mkdtempSync(join(base, SCRATCH_PREFIX));
    this.#mounted =
      isRoot &&
      process.env['PLYFS_TEST_DIR'] === undefined &&
      spawnSync('mount', ['-t', 'tmpfs', '-o', 'mode=0755,size=4g', 'plyfs-test', this.path]).status === 0;
    if (this.#mounted && featuresMissing(this.path) !== null && !isOverlay(base)) {
      spawnSync('umount', [this.path]);
      this.#mounted = false;
    }
  }

  /** Makes a new empty directory in it. */
  directory(name: string): string {
    const path = join(this.path, `${this.#next++}-${name}`);
    mkdirSync(path);
    return path;
  }

  /** Removes everything. Mounts inside must be gone; those that are not are detached. */
  dispose(): void {
    if (!this.#mounted) {
      rmSync(this.path, { recursive: true, force: true, maxRetries: 2 });
      return;
    }
    if (spawnSync('umount', [this.path], { timeout: 10_000 }).status !== 0) {
      spawnSync('umount', ['-l', this.path], { timeout: 10_000 });
    }
    rmSync(this.path, { recursive: true, force: true });
  }
}

function isOverlay(path: string): boolean {
  return statfsSync(path).type === OVERLAY_MAGIC;
}

/** Why `directory` can't hold an upper layer; null when it can. */
export function featuresMissing(directory: string): string | null {
  if (isOverlay(directory)) return `${directory} is on overlayfs, which can't hold an upper layer`;
  const probe = join(directory, '.probe');
  writeFileSync(probe, '');
  const fd = sys.openat(sys.AT_FDCWD, directory, sys.O_PATH | sys.O_DIRECTORY);
  try {
    const value = Buffer.from('y');
    const prefixes = isRoot ? ['user.', 'trusted.'] : ['user.'];
    for (const prefix of prefixes) {
      if (sys.setxattr(fd, '.probe', `${prefix}probe`, value, 1) < 0) {
        return `no ${prefix}* xattrs in ${directory}`;
      }
    }
    if (isRoot && sys.mknodat(fd, '.whiteout', sys.S_IFCHR) < 0) return `no device nodes in ${directory}`;
    return null;
  } finally {
    sys.close(fd);
    rmSync(probe, { force: true });
    rmSync(join(directory, '.whiteout'), { force: true });
  }
}
