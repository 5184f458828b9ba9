/** A filesystem of its own in an image file, mounted by a loop device. */
import { rmSync } from 'node:fs';
import { run, until } from './exec.js';
import type { Scratch } from './scratch.js';

export interface Image {
  /** Where it is mounted. */
  readonly at: string;
  /** Mounts it again, after it was unmounted. */
  mount(): Promise<void>;
  /** Resolves when the mount is gone from all mount namespaces: otherwise the same one would be mounted again. */
  unmount(): Promise<void>;
  /** Unmounts it, busy or not, and frees its space. */
  dispose(): Promise<void>;
}

/** How it is made. */
export interface ImageKind {
  /** Size of the image (truncate(1)); it only uses the space that is written. */
  readonly size: string;
  /** Program and arguments; the file is added. */
  readonly mkfs: readonly [string, ...string[]];
  /** Mount options besides `loop`. */
  readonly options?: string;
}

/** Resolves to the reason as text when this machine can't make or mount it. */
export async function makeImage(scratch: Scratch, kind: ImageKind): Promise<Image | string> {
  const at = scratch.directory('image');
  const file = `${at}.img`;
  const mount = async (): Promise<string | null> => {
    const args = ['-o', ['loop', kind.options ?? []].flat().join(','), file, at];
    const { code, stderr } = await run('mount', args);
    return code === 0 ? null : stderr;
  };
  const [mkfs, ...args] = kind.mkfs;
  for (const [program, ...rest] of [
    ['truncate', '-s', kind.size, file],
    [mkfs, ...args, file],
  ] as [string, ...string[]][]) {
    const { code, stderr } = await run(program, rest);
    if (code !== 0) return `${program} failed: ${stderr.trim()}`;
  }
  const problem = await mount();
  if (problem !== null) return `the image can't be mounted: ${problem.trim()}`;
  return {
    at,
    mount: async () => {
      const again = await mount();
      if (again !== null) throw new Error(again);
    },
    unmount: async () => {
      // A process that is ending holds its files for a moment longer than its command line.
      await until(`umount ${at}`, async () => (await run('umount', [at])).code === 0);
      await until(`the end of the loop device of ${file}`, async () => {
        const { code, stdout } = await run('losetup', ['-j', file]);
        return code === 0 && stdout === '';
      });
    },
    dispose: async () => {
      await run('umount', ['-l', at]);
      rmSync(file, { force: true });
    },
  };
}
