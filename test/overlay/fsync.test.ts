/** What fsync flushes, and what stays open after it. */
import assert from 'node:assert/strict';
import { lstatSync } from 'node:fs';
import { Attr, Entry, NO_FH, ROOT_ID, SetAttr } from '../../src/vfs/types.js';
import { Core, it } from './core-fixture.js';
import { descriptorCount } from './layer-fixture.js';

it('of a metacopy flushes the object on upper, which has the changes', (t) => {
  const core = new Core(t, (p) => p.file('lower/f', 'data'), { metacopy: true, redirectDir: 'on' });
  const f = core.node('f')!;
  const change = new SetAttr();
  change.mode = 0o600;
  core.fs.setattr(f, change, core.caller, new Attr());
  core.jobs.flushed.length = 0;
  core.ask(() => core.fs.fsync(f, NO_FH, false));
  assert.deepEqual(core.jobs.flushed, [lstatSync(core.place.at('upper/f')).ino]);
  assert.equal(core.read(f), 'data');
});

it('of a directory leaves nothing open that outlives the directory', (t) => {
  const core = new Core(t, () => {});
  const before = descriptorCount();
  for (let i = 0; i < 10; i++) {
    const entry = new Entry();
    core.fs.mkdir(ROOT_ID, `d${i}`, 0o755, core.caller, entry);
    core.ask(() => core.fs.fsyncdir(entry.node, NO_FH, false));
    core.fs.rmdir(ROOT_ID, `d${i}`);
    core.fs.forget(entry.node, 1);
  }
  assert.equal(descriptorCount(), before);
});
