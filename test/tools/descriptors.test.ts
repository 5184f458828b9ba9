/** Layers need descriptors: those kept open in addition must not exceed the limit of the process. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, it } from 'node:test';
import { sh } from '../support/exec.js';
import { Scratch } from '../support/scratch.js';
import { CLI } from './support.js';

const LAYERS = 150;
const scratch = new Scratch();
after(() => scratch.dispose());

it(`${LAYERS} layers are merged by a process that may open 256 files`, async () => {
  const home = scratch.directory('many');
  const lower: string[] = [];
  for (let i = 0; i < LAYERS; i++) {
    const layer = `${home}/${i}`;
    for (const dir of ['shared', `own${i}`]) {
      mkdirSync(`${layer}/${dir}`, { recursive: true });
      writeFileSync(`${layer}/${dir}/file${i}`, 'text');
    }
    lower.push('--lower', layer);
  }
  const script = `ulimit -n 256; exec '${process.execPath}' '${CLI}' merge '${home}/out' ${lower.join(' ')}`;
  const result = await sh(script);
  assert.equal(result.code, 0, result.stderr);
  const objects = 1 + LAYERS + LAYERS + LAYERS;
  assert.equal(result.stdout.split(' ')[0], String(objects));
});
