/** Every scenario on kernel overlayfs and on plyfs: only the differences in known-differences.ts are allowed. */
import assert from 'node:assert/strict';
import { before, describe, it } from 'node:test';
import { kernel, plyfs } from '../support/drivers.js';
import { byDesign, pending } from './known-differences.js';
import { judge, type Verdicts } from './run.js';
import type { Scenarios } from './scenario.js';
import { attributes } from './scenarios/attributes.js';
import { create } from './scenarios/create.js';
import { data } from './scenarios/data.js';
import { forgotten } from './scenarios/forgotten.js';
import { hostile } from './scenarios/hostile.js';
import { layers } from './scenarios/layers.js';
import { linkIndex } from './scenarios/link-index.js';
import { metacopies } from './scenarios/metacopy.js';
import { remove } from './scenarios/remove.js';
import { rename } from './scenarios/rename.js';

const chapters: Readonly<Record<string, Scenarios>> = {
  create,
  remove,
  rename,
  data,
  attributes,
  layers,
  'link-index': linkIndex,
  metacopy: metacopies,
  hostile,
  forgotten,
};

for (const [title, scenarios] of Object.entries(chapters)) {
  describe(`oracle: ${title}`, () => {
    let reason: string | null = null;
    let result: Verdicts = { verdicts: [], problems: [] };
    before(async () => {
      reason = (await kernel.unavailable()) ?? (await plyfs.unavailable());
      if (reason === null) result = await judge({ kernel, plyfs }, Object.values(scenarios));
    });
    Object.keys(scenarios).forEach((name, i) => {
      const todo = pending[name];
      it(name, todo === undefined ? {} : { todo }, (t) => {
        if (reason !== null) return t.skip(reason);
        const differences = result.verdicts[i]?.differences;
        if (byDesign[name] === undefined) assert.deepEqual(differences, [], 'kernel | plyfs');
        else assert.notDeepEqual(differences, [], `no difference any more: ${byDesign[name]}`);
      });
    });
    it('changed no lower layer, left nothing in work, mounted everywhere', (t) => {
      if (reason !== null) return t.skip(reason);
      assert.deepEqual(result.problems, []);
    });
  });
}
