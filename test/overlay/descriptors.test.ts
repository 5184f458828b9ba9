/** How many descriptors are kept open, and what happens when no more are available. */
import assert from 'node:assert/strict';
import { readdirSync, rmSync } from 'node:fs';
import { test } from 'node:test';
import { descriptorBudget } from '../../src/overlay/descriptor-budget.js';
import { MountPoints } from '../../src/overlay/mount-points.js';
import { UserError } from '../../src/overlay/user-error.js';
import * as sys from '../../src/sys/index.js';
import { Deferred } from '../../src/vfs/errors.js';
import { Entry, NO_FH, ROOT_ID } from '../../src/vfs/types.js';
import { withFreeDescriptors } from '../support/syscalls.js';
import { Core, errno, it, makeDirectory } from './core-fixture.js';
import { descriptorCount, Place } from './layer-fixture.js';

test('the descriptors of layers and of other uses are subtracted from those that may be kept', () => {
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

it('when no more can be opened, some of the kept ones are closed', (t) => {
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

it('a substitute for a mount point that can not be made now is made later', (t) => {
  const place = new Place(t);
  place.dirs('lower', 'work');
  const [lower] = place.open({ lowerdir: ['lower'] }).layers;
  const work = sys.openat(sys.AT_FDCWD, place.at('work'), sys.O_PATH | sys.O_DIRECTORY);
  const mountPoints = MountPoints.of([{ ...lower!, cloned: false }], work)!;
  t.after(() => {
    mountPoints.dispose();
    sys.close(work);
  });
  withFreeDescriptors(0, () =>
    assert.equal(
      errno(() => mountPoints.emptyDir(lower!, sys.openat)),
      'EMFILE',
    ),
  );
  assert.notEqual(mountPoints.emptyDir(lower!, sys.openat), null);
  assert.deepEqual(readdirSync(place.at('work')), []);
});

it('EMFILE when no more can be opened and no kept one can be closed', (t) => {
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

/** A merge of more directories than descriptors are kept; the upper one has the files `f` and `g`. */
function manyLayers(t: Parameters<Parameters<typeof it>[1]>[0]): Core {
  const lowerdir = Array.from({ length: 30 }, (_, i) => `l${i}`);
  const fill = (p: Core['place']): void => {
    for (const layer of lowerdir) p.file(`${layer}/d/${layer}`);
    p.dirs('upper/d/sub', 'upper/other');
    p.file('upper/d/f', 'f');
    p.file('upper/d/g', 'g');
  };
  const core = new Core(t, fill, { lowerdir }, { fewDescriptors: true });
  for (const path of ['d/f', 'd/g', 'd/sub', 'other']) core.node(path);
  return core;
}

/** Makes the overlay drop its listing of `d`: a name in it stands for another object than before. */
function dropListing(core: Core): void {
  rmSync(core.place.at('upper/d/sub'), { recursive: true });
  core.place.file('upper/d/sub');
  core.list(core.node('d')!);
}

it('unlink: reading the parent again may close its descriptor, and still the right directory is changed', (t) => {
  const core = manyLayers(t);
  dropListing(core);
  core.fs.unlink(core.node('d')!, 'f');
  assert.deepEqual(readdirSync(core.place.at('upper/d')).sort(), ['g', 'sub']);
});

it('rename: the same for both parents', (t) => {
  const core = manyLayers(t);
  const [d, other] = [core.node('d')!, core.node('other')!];
  dropListing(core);
  core.fs.rename({ parent: d, name: 'f' }, { parent: other, name: 'f' }, 0);
  core.list(d);
  core.fs.rename({ parent: other, name: 'f' }, { parent: d, name: 'back' }, 0);
  assert.deepEqual(readdirSync(core.place.at('upper/d')).sort(), ['back', 'g', 'sub']);
  assert.deepEqual(readdirSync(core.place.at('upper/other')), []);
});

it('walking down a path longer than the number of kept descriptors closes none in use', (t) => {
  const deep = 'x/'.repeat(40);
  const fill = (p: Core['place']): void => {
    p.file(`upper/${deep}f`);
    p.dirs('upper/a');
    for (let i = 0; i < 30; i++) p.file(`upper/b${i}/f`);
  };
  const core = new Core(t, fill, {}, { fewDescriptors: true });
  const f = core.node(`${deep}f`)!;
  const a = core.node('a')!;
  const link = (name: string): void => core.fs.link(f, a, name, new Entry());
  link('one');
  for (let i = 0; i < 30; i++) core.node(`b${i}/f`);
  link('two');
  assert.deepEqual(readdirSync(core.place.at('upper/a')).sort(), ['one', 'two']);
});

it('descriptors of removed names that were not forgotten, and of a copy-up in progress, are closed with the mount', (t) => {
  const before = descriptorCount();
  const core = new Core(t, (p) => {
    p.file('upper/f', 'above');
    p.file('upper/d/f', 'above');
    p.file('lower/big', 'x'.repeat(1_000_000));
  });
  for (const path of ['f', 'd/f']) core.node(path);
  core.fs.unlink(ROOT_ID, 'f');
  core.fs.unlink(core.node('d')!, 'f');
  core.fs.rmdir(ROOT_ID, 'd');
  assert.throws(() => core.fs.write(core.node('big')!, NO_FH, 0, Buffer.from('y'), 1, null), Deferred);
  core.fs.destroy();
  core.closeLayers();
  assert.equal(descriptorCount(), before);
});
