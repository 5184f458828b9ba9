/**
 * The image: a fresh ext4 with a journal on a loop device, which holds fixtures and layers. On a root filesystem its age, a
 * missing journal or other users would affect every measurement that creates files.
 */

import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { run } from './process.js';

export interface Image {
  /** The mounted image. */
  readonly root: string;
  /** A tmpfs beside it, for logs, mount points and all that must not be measured. */
  readonly scratch: string;
  dispose(): Promise<void>;
}

/** Sparse: only uses the space that is written. There are enough inodes for the tree of 500,000 files and other layers. */
const SIZE = '24G';
const INODES = '1600000';

export async function createImage(parent: string | null): Promise<Image> {
  const base = mkdtempSync(join(parent ?? tmpdir(), 'plyfs-bench-'));
  const file = join(base, 'image');
  const root = join(base, 'fs');
  const scratch = join(base, 'scratch');
  mkdirSync(root);
  mkdirSync(scratch);
  const timeoutMs = 120_000;
  const dispose = async () => {
    await run(['umount', '-l', root], { timeoutMs }).catch(() => undefined);
    await run(['umount', '-l', scratch], { timeoutMs }).catch(() => undefined);
    rmSync(base, { recursive: true, force: true });
  };
  try {
    await run(['truncate', '-s', SIZE, file], { timeoutMs });
    // Inode tables and journal are initialised now: otherwise the kernel's lazy thread would write them during measurements.
    const extended = 'lazy_itable_init=0,lazy_journal_init=0';
    await run(['mkfs.ext4', '-q', '-F', '-N', INODES, '-O', 'has_journal', '-E', extended, file], {
      timeoutMs,
    });
    await run(['mount', '-o', 'loop,noatime', file, root], { timeoutMs });
    await run(['mount', '-t', 'tmpfs', 'tmpfs', scratch], { timeoutMs });
  } catch (error) {
    await dispose();
    throw error;
  }
  return { root, scratch, dispose };
}
