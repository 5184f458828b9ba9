/**
 * xfs as the upper's filesystem: a rename onto a directory that is not empty is EEXIST there, not ENOTEMPTY, and truncate(2)
 * to a file's current size does not change its times.
 */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { it, type TestContext } from 'node:test';
import { type Driver, kernel, plyfs } from '../support/drivers.js';
import { must } from '../support/exec.js';
import { type ImageKind, makeImage } from '../support/image.js';
import { Scratch } from '../support/scratch.js';
import { lacking } from '../support/table.js';

const XFS: ImageKind = { size: '512M', mkfs: ['mkfs.xfs', '-q', '-f'] };

/** Renames directories of all kinds onto one that is not empty; prints the result of rename(2). */
const RENAMES = `
  const { mkdirSync, renameSync, writeFileSync } = require('node:fs');
  const code = (from, to) => { try { renameSync(from, to); return 'done'; } catch (error) { return error.code; } };
  for (const dir of ['new', 'full', 'merged/new', 'merged/full']) mkdirSync(dir);
  for (const file of ['full/f', 'merged/full/f']) writeFileSync(file, '');
  console.log(code('new', 'full'), code('merged/new', 'merged/full'), code('new', 'merged'), code('new', 'lower'));`;

/** Sets the current size, by name and by descriptor; prints whether mtime is as before. Node has no truncate(2). */
const TRUNCATES = `
import os
for name, size in ('a', 3), ('a', 2), ('merged/old', 3), ('lower/old', 3):
    os.utime(name, (1000, 1000))
    os.truncate(name, size)
    by_name = os.stat(name).st_mtime == 1000
    os.utime(name, (1000, 1000))
    fd = os.open(name, os.O_RDWR)
    os.ftruncate(fd, size)
    print(name, size, by_name, os.stat(name).st_mtime == 1000)`;

/** The same script on both; resolves to what it printed. */
async function onBoth(
  t: TestContext,
  program: readonly [string, ...string[]],
  check: (printed: string, upper: string, driver: Driver) => void,
): Promise<void> {
  const reason = (await plyfs.unavailable()) ?? (await kernel.unavailable());
  if (reason !== null) return t.skip(reason);
  const scratch = new Scratch();
  try {
    const image = await makeImage(scratch, XFS);
    if (typeof image === 'string') return t.skip(image);
    try {
      for (const driver of [kernel, plyfs]) {
        const at = `${image.at}/${driver.name}`;
        check(await printed(driver, at, scratch, program), `${at}/upper`, driver);
      }
    } finally {
      await image.dispose();
    }
  } finally {
    scratch.dispose();
  }
}

async function printed(
  driver: Driver,
  at: string,
  scratch: Scratch,
  [program, ...args]: readonly [string, ...string[]],
): Promise<string> {
  const [lower, upper, work] = [`${at}/lower`, `${at}/upper`, `${at}/work`];
  for (const dir of [`${lower}/merged`, `${lower}/lower`, `${upper}/merged`, work])
    mkdirSync(dir, { recursive: true });
  for (const dir of ['merged', 'lower']) writeFileSync(`${lower}/${dir}/old`, 'abc');
  writeFileSync(`${upper}/a`, 'abc');
  const mounted = await driver.mount({ lower: [lower], upper, work }, scratch.directory('merged'));
  try {
    return await must(program, args, { cwd: mounted.path, onTimeout: mounted.abort });
  } finally {
    await mounted.unmount();
  }
}

it('a rename onto a non-empty directory of upper fails with the error of the filesystem', async (t) => {
  await onBoth(t, [process.execPath, '-e', RENAMES], (codes, upper, { name }) => {
    assert.equal(codes, 'EEXIST EEXIST ENOTEMPTY ENOTEMPTY\n', name);
    assert.deepEqual(readdirSync(`${upper}/full`), ['f']);
  });
});

it('truncate(2) to the current size does not change the times, ftruncate(2) does', async (t) => {
  const missing = await lacking('python3');
  if (missing !== null) return t.skip(missing);
  const expected = ['a 3 True False', 'a 2 False False', 'merged/old 3 True False', 'lower/old 3 True False'];
  await onBoth(t, ['python3', '-c', TRUNCATES], (lines, _upper, { name }) => {
    assert.deepEqual(lines.trim().split('\n'), expected, name);
  });
});
