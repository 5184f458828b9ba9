/** xfs as the upper's filesystem: a rename onto a directory that is not empty is EEXIST there, not ENOTEMPTY. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { it } from 'node:test';
import { type Driver, kernel, plyfs } from '../support/drivers.js';
import { must } from '../support/exec.js';
import { type ImageKind, makeImage } from '../support/image.js';
import { Scratch } from '../support/scratch.js';

const XFS: ImageKind = { size: '512M', mkfs: ['mkfs.xfs', '-q', '-f'] };

/** Renames directories of all kinds onto one that is not empty; prints what rename(2) said. */
const SCRIPT = `
  const { mkdirSync, renameSync, writeFileSync } = require('node:fs');
  const code = (from, to) => { try { renameSync(from, to); return 'done'; } catch (error) { return error.code; } };
  for (const dir of ['new', 'full', 'merged/new', 'merged/full']) mkdirSync(dir);
  for (const file of ['full/f', 'merged/full/f']) writeFileSync(file, '');
  console.log(code('new', 'full'), code('merged/new', 'merged/full'), code('new', 'merged'), code('new', 'lower'));`;

async function codes(driver: Driver, at: string, scratch: Scratch): Promise<string> {
  const [lower, upper, work] = ['lower', 'upper', 'work'].map((name) => `${at}/${name}`) as [
    string,
    string,
    string,
  ];
  for (const dir of [`${lower}/merged`, `${lower}/lower`, `${upper}/merged`, work])
    mkdirSync(dir, { recursive: true });
  for (const dir of ['merged', 'lower']) writeFileSync(`${lower}/${dir}/old`, '');
  const mounted = await driver.mount({ lower: [lower], upper, work }, scratch.directory('merged'));
  try {
    return await must(process.execPath, ['-e', SCRIPT], { cwd: mounted.path, onTimeout: mounted.abort });
  } finally {
    await mounted.unmount();
    assert.deepEqual(readdirSync(`${upper}/full`), ['f']);
  }
}

it('a rename onto a full directory of upper fails with what the filesystem says', async (t) => {
  const reason = (await plyfs.unavailable()) ?? (await kernel.unavailable());
  if (reason !== null) return t.skip(reason);
  const scratch = new Scratch();
  try {
    const image = await makeImage(scratch, XFS);
    if (typeof image === 'string') return t.skip(image);
    try {
      const expected = 'EEXIST EEXIST ENOTEMPTY ENOTEMPTY\n';
      for (const driver of [kernel, plyfs]) {
        assert.equal(await codes(driver, `${image.at}/${driver.name}`, scratch), expected, driver.name);
      }
    } finally {
      await image.dispose();
    }
  } finally {
    scratch.dispose();
  }
});
