/** Absurdly deep trees: each tool refuses them with one sentence, and leaves nothing behind. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { linkSync, mkdirSync, readdirSync, renameSync, writeFileSync } from 'node:fs';
import { buffer } from 'node:stream/consumers';
import { after, test } from 'node:test';
import { pack } from 'tar-stream';
import { apply } from '../../src/tools/apply.js';
import { check } from '../../src/tools/check/check.js';
import { diff } from '../../src/tools/diff.js';
import { layers } from '../../src/tools/layers.js';
import { merge } from '../../src/tools/merge.js';
import { exportLayer } from '../../src/tools/oci/export.js';
import { importLayers } from '../../src/tools/oci/import.js';
import { squash } from '../../src/tools/squash.js';
import { Scratch } from '../support/scratch.js';

const DEEP = 'd/'.repeat(1100);
const REFUSED = { name: 'UserError', message: /^'d\/d\/.*' is nested more than 1000 directories deep\.$/ };

const scratch = new Scratch();
after(() => {
  execFileSync('rm', ['-rf', deeper]);
  scratch.dispose();
});
const deep = scratch.directory('deep');
const deepToo = scratch.directory('deep-too');
for (const layer of [deep, deepToo]) mkdirSync(`${layer}/${DEEP}`, { recursive: true });
writeFileSync(`${deep}/${DEEP}f`, 'x');
/** Deeper than a call stack allows: built from the bottom up, since no path can name it. */
const deeper = scratch.directory('deeper');
for (let times = 0; times < 10; times++) {
  const above = scratch.directory('above');
  mkdirSync(`${above}/${DEEP}`, { recursive: true });
  renameSync(deeper, `${above}/${DEEP}d`);
  renameSync(above, deeper);
}
const results = scratch.directory('results');
const output = `${results}/out`;

const TOOLS: Readonly<Record<string, () => unknown>> = {
  diff: () => diff({ upper: deep, lower: [deepToo] }),
  'diff without lowers': () => diff({ upper: deep, lower: [] }),
  merge: () => merge({ lower: [deep, deepToo], output }),
  squash: () => squash({ layers: [deep, deepToo], output }),
  apply: () => apply({ upper: deep, to: scratch.directory('to') }),
  check: () => check({ lower: [deep] }),
  layers: () => layers({ lower: [deeper] }),
  export: () => exportLayer({ layer: deep, output }),
  import: async () => {
    const archive = pack();
    archive.entry({ name: `${DEEP}f` }, 'x');
    archive.finalize();
    const source = `${scratch.directory('archive')}/a.tar`;
    writeFileSync(source, await buffer(archive));
    await importLayers({ source, directory: output });
  },
};

test('files with several names are copied whose paths are longer than a system call takes', () => {
  const long = scratch.directory('long');
  const way = `${'n'.repeat(250)}/`.repeat(15);
  // As `deeper`: no call takes the whole path.
  mkdirSync(`${long}/${way}`, { recursive: true });
  const top = scratch.directory('top');
  mkdirSync(`${top}/${way}`, { recursive: true });
  writeFileSync(`${long}/${way}one`, 'text');
  linkSync(`${long}/${way}one`, `${long}/${way}two`);
  renameSync(long, `${top}/${way}long`);
  const to = scratch.directory('to');
  apply({ upper: top, to });
  const names = 'find . -type f -links 2 | sed s,.*/,,';
  const seen = [to];
  for (const make of [merge, squash]) {
    const made = `${scratch.directory('made')}/out`;
    make({ lower: [top], layers: [top], output: made });
    seen.push(made);
  }
  for (const directory of seen) {
    const found = execFileSync('sh', ['-c', names], { cwd: directory, encoding: 'utf8' });
    assert.deepEqual(found.split('\n').sort(), ['', 'one', 'two']);
  }
});

for (const [name, work] of Object.entries(TOOLS)) {
  test(`${name}: a tree nested too deep is refused`, async () => {
    await assert.rejects(async () => await work(), REFUSED);
    assert.deepEqual(readdirSync(results), []);
  });
}
