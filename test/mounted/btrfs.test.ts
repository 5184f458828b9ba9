/** btrfs as the upper's filesystem: a descriptor of a directory lists what was there when it was opened or last rewound. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { it } from 'node:test';
import { plyfs } from '../support/drivers.js';
import { must } from '../support/exec.js';
import { type ImageKind, makeImage } from '../support/image.js';
import { Scratch } from '../support/scratch.js';

const BTRFS: ImageKind = { size: '200M', mkfs: ['mkfs.btrfs', '-q', '-f'] };

it('a directory lists what was made in it before it was read for the first time', async (t) => {
  const reason = await plyfs.unavailable();
  if (reason !== null) return t.skip(reason);
  const scratch = new Scratch();
  try {
    const image = await makeImage(scratch, BTRFS);
    if (typeof image === 'string') return t.skip(image);
    try {
      const [lower, upper, work] = [scratch.directory('lower'), `${image.at}/upper`, `${image.at}/work`];
      for (const directory of [upper, work, `${lower}/copied`]) mkdirSync(directory);
      const mounted = await plyfs.mount({ lower: [lower], upper, work }, scratch.directory('merged'));
      try {
        const script = 'mkdir new && touch new/a copied/b && ls new copied && cat new/a copied/b';
        const names = await must('sh', ['-c', script], { cwd: mounted.path, onTimeout: mounted.abort });
        assert.equal(names, 'copied:\nb\n\nnew:\na\n');
      } finally {
        await mounted.unmount();
      }
    } finally {
      await image.dispose();
    }
  } finally {
    scratch.dispose();
  }
});
