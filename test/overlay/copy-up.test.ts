/** Copy-up of files: what it counts, what it leaves, and what comes while it goes on. */
import assert from 'node:assert/strict';
import { readdirSync } from 'node:fs';
import { Attr, ROOT_ID, SetAttr } from '../../src/vfs/types.js';
import { Core, it } from './core-fixture.js';

it('counts the bytes that it copied: none where the caller wants the file empty', (t) => {
  const copied: number[] = [];
  const fill = (p: Core['place']): void => {
    p.file('lower/emptied', 'x'.repeat(1000));
    p.file('lower/written', 'x'.repeat(1000));
  };
  const core = new Core(t, fill, {}, { services: { copiedUp: (bytes) => copied.push(bytes) } });
  const truncation = new SetAttr();
  truncation.size = 0;
  core.ask(() => core.fs.setattr(core.node('emptied')!, truncation, core.caller, new Attr()));
  core.write(core.node('written')!, 0, 'y');
  assert.deepEqual(copied, [0, 1000]);
});

it('of a removed file that is still open leaves no name, also where unnamed files can not be made', (t) => {
  const core = new Core(t, (p) => p.file('lower/f', 'below'), {}, { lacks: ['tmpfile'] });
  const f = core.node('f')!;
  core.fs.unlink(ROOT_ID, 'f');
  const before = readdirSync(core.place.at('work/work'));
  core.write(f, 0, 'B');
  assert.equal(core.read(f), 'Below');
  assert.equal(core.attr(f).nlink, 0);
  assert.deepEqual(readdirSync(core.place.at('work/work')), before);
});

it('counts the data of a metacopy when it comes', (t) => {
  const copied: number[] = [];
  const options = { metacopy: true, redirectDir: 'on' } as const;
  const services = { copiedUp: (bytes: number) => copied.push(bytes) };
  const core = new Core(t, (p) => p.file('lower/f', 'x'.repeat(1000)), options, { services });
  const f = core.node('f')!;
  const change = new SetAttr();
  change.mode = 0o600;
  core.fs.setattr(f, change, core.caller, new Attr());
  core.write(f, 0, 'y');
  assert.deepEqual(copied, [0, 1000]);
});
