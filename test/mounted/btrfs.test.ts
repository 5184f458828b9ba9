/**
 * btrfs as the upper's filesystem: a descriptor of a directory lists what was there when it was opened or last rewound,
 * and the uuid in origins is available only by an ioctl of btrfs.
 */
import assert from 'node:assert/strict';
import { linkSync, mkdirSync, writeFileSync } from 'node:fs';
import { it, type TestContext } from 'node:test';
import { kernel, plyfs } from '../support/drivers.js';
import { must } from '../support/exec.js';
import { type ImageKind, makeImage } from '../support/image.js';
import { Scratch } from '../support/scratch.js';

const BTRFS: ImageKind = { size: '200M', mkfs: ['mkfs.btrfs', '-q', '-f'] };

async function onBtrfs(t: TestContext, work: (scratch: Scratch, at: string) => Promise<void>): Promise<void> {
  const scratch = new Scratch();
  try {
    const image = await makeImage(scratch, BTRFS);
    if (typeof image === 'string') return t.skip(image);
    try {
      await work(scratch, image.at);
    } finally {
      await image.dispose();
    }
  } finally {
    scratch.dispose();
  }
}

it('a directory lists what was created in it before it was read for the first time', async (t) => {
  const reason = await plyfs.unavailable();
  if (reason !== null) return t.skip(reason);
  await onBtrfs(t, async (scratch, at) => {
    const lower = scratch.directory('lower');
    const [upper, work] = [`${at}/upper`, `${at}/work`];
    for (const directory of [upper, work, `${lower}/copied`]) mkdirSync(directory);
    const mounted = await plyfs.mount({ lower: [lower], upper, work }, scratch.directory('merged'));
    try {
      const script = 'mkdir new && touch new/a copied/b && ls new copied && cat new/a copied/b';
      const names = await must('sh', ['-c', script], { cwd: mounted.path, onTimeout: mounted.abort });
      assert.equal(names, 'copied:\nb\n\nnew:\na\n');
    } finally {
      await mounted.unmount();
    }
  });
});

it('an upper with an index can move from the kernel to plyfs and back, also with lowers on several subvolumes', async (t) => {
  const reason = (await plyfs.unavailable()) ?? (await kernel.unavailable());
  if (reason !== null) return t.skip(reason);
  await onBtrfs(t, async (scratch, at) => {
    for (const [first, second] of [
      [kernel, plyfs],
      [plyfs, kernel],
    ] as const) {
      const [lower, upper, work] = ['lower', 'upper', 'work'].map((dir) => `${at}/${first.name}-${dir}`) as [
        string,
        string,
        string,
      ];
      for (const directory of [upper, work]) mkdirSync(directory);
      for (const volume of [lower, `${lower}-2`]) await must('btrfs', ['subvolume', 'create', volume]);
      writeFileSync(`${lower}/f`, 'lower');
      writeFileSync(`${lower}-2/g`, 'lower');
      linkSync(`${lower}-2/g`, `${lower}-2/h`);
      const counts: string[] = [];
      for (const driver of [first, second, first]) {
        const stack = { lower: [lower, `${lower}-2`], upper, work, options: ['index=on'] };
        const mounted = await driver.mount(stack, scratch.directory('merged'));
        try {
          const script = 'echo more >> f; echo more >> g; stat -c %h h; wc -l < h';
          counts.push(await must('sh', ['-c', script], { cwd: mounted.path, onTimeout: mounted.abort }));
        } finally {
          await mounted.unmount();
        }
      }
      assert.deepEqual(counts, ['2\n1\n', '2\n2\n', '2\n3\n'], `${first.name} first`);
    }
  });
});
