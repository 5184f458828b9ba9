/** How many descriptors are kept, and what happens when there are no more. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { descriptorBudget } from '../../src/overlay/descriptor-budget.js';
import { UserError } from '../../src/overlay/user-error.js';
import { ROOT_ID } from '../../src/vfs/types.js';
import { withFreeDescriptors } from '../support/syscalls.js';
import { Core, errno, it, makeDirectory } from './core-fixture.js';

test('what layers have open and what else is opened is left out of what may be kept', () => {
  assert.deepEqual(descriptorBudget(65536, 10), { dirs: 4096, files: 1024 });
  assert.deepEqual(descriptorBudget(1024, 0), { dirs: 512, files: 256 });
  for (let limit = 120; limit < 2000; limit += 9) {
    for (const taken of [3, limit >> 2, limit >> 1, limit - 60]) {
      const { dirs, files } = descriptorBudget(limit, taken);
      assert.ok(taken + dirs + files + 40 <= limit, `${taken} of ${limit}: ${dirs} and ${files}`);
      assert.ok(dirs >= 16 && files >= 4, `${taken} of ${limit}: ${dirs} and ${files}`);
    }
    assert.throws(() => descriptorBudget(limit, limit - 59), UserError);
  }
});

it('when no more can be opened, some that are only kept make room', (t) => {
  const core = new Core(t, (p) => {
    for (let i = 0; i < 40; i++) p.file(`lower/d${i}/f`, 'below');
    p.file('upper/f', 'above');
  });
  for (let i = 0; i < 40; i++) core.node(`d${i}/f`);
  const [one, other, above] = [core.node('d0/f')!, core.node('d1/f')!, core.node('f')!];
  withFreeDescriptors(0, () => {
    assert.equal(core.read(one), 'below');
    core.write(other, 0, 'B');
    assert.equal(core.read(other), 'Below');
    assert.ok(core.list(ROOT_ID).names.includes('d39'));
    for (let i = 0; i < 40; i++) assert.deepEqual(core.list(core.node(`d${i}`)!).names, ['.', '..', 'f']);
    makeDirectory(core, core.node('d2')!, 'new');
    core.fs.unlink(ROOT_ID, 'f');
    assert.equal(core.read(above), 'above');
  });
});

it('but when nothing is kept, that is told', (t) => {
  const core = new Core(t, (p) => p.file('upper/f', 'above'));
  const f = core.node('f')!;
  withFreeDescriptors(0, () =>
    assert.equal(
      errno(() => core.read(f)),
      'EMFILE',
    ),
  );
  assert.equal(core.read(f), 'above');
});
