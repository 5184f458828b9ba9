/** Copy-up of files: what it counts, what it leaves behind, and requests that arrive during it. */
import assert from 'node:assert/strict';
import { lstatSync, readdirSync, readFileSync } from 'node:fs';
import * as sys from '../../src/sys/index.js';
import { Deferred } from '../../src/vfs/errors.js';
import { Attr, OpenReply, ROOT_ID, SetAttr } from '../../src/vfs/types.js';
import { Core, it } from './core-fixture.js';

it('counts the bytes that it copied: none where the caller truncates the file', (t) => {
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

it('of a removed file that is still open leaves no name, even where unnamed files can not be made', (t) => {
  const core = new Core(t, (p) => p.file('lower/f', 'below'), {}, { lacks: ['tmpfile'] });
  const f = core.node('f')!;
  core.fs.unlink(ROOT_ID, 'f');
  const before = readdirSync(core.place.at('work/work'));
  core.write(f, 0, 'B');
  assert.equal(core.read(f), 'Below');
  assert.equal(core.attr(f).nlink, 0);
  assert.deepEqual(readdirSync(core.place.at('work/work')), before);
});

it('counts the data of a metacopy when it is copied', (t) => {
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

const CAPABILITY = 'security.capability';

/** The value of {@link CAPABILITY} for one permitted capability (struct vfs_cap_data, revision 2). */
function capability(number: number): Buffer {
  const value = Buffer.alloc(20);
  value.writeUInt32LE(0x02000000, 0);
  value.writeUInt32LE(1 << number, 4);
  return value;
}

/** A metacopy of a large file with a capability, whose data is being copied on behalf of an open for writing. */
function halfCopied(t: Parameters<Parameters<typeof it>[1]>[0]): { core: Core; finish: () => void } {
  const fill = (p: Core['place']): void => {
    p.file('lower/f', 'x'.repeat(1 << 20));
    const value = capability(1);
    assert.equal(sys.setxattr(sys.AT_FDCWD, p.at('lower/f'), CAPABILITY, value, value.length), 0);
  };
  const options = { metacopy: true, redirectDir: 'on' } as const;
  const core = new Core(t, fill, options, { services: { dataMode: 'passthrough' } });
  const f = core.node('f')!;
  const change = new SetAttr();
  change.mode = 0o700;
  core.fs.setattr(f, change, core.caller, new Attr());
  const open = (): void => core.fs.open(f, sys.O_RDWR, core.caller, new OpenReply());
  assert.throws(open, Deferred);
  return { core, finish: () => core.ask(open) };
}

it('a capability that is set while the data of a metacopy is copied remains', (t) => {
  const { core, finish } = halfCopied(t);
  const f = core.node('f')!;
  core.ask(() => core.fs.setxattr(f, CAPABILITY, capability(2), 0, false));
  finish();
  const value = Buffer.alloc(20);
  assert.equal(core.fs.getxattr(f, CAPABILITY, core.caller, value, value.length), 20);
  assert.deepEqual(value, capability(2));
  assert.equal(readFileSync(core.place.at('upper/f'), 'latin1'), 'x'.repeat(1 << 20));
});

it('a capability that is removed meanwhile does not come back', (t) => {
  const { core, finish } = halfCopied(t);
  const f = core.node('f')!;
  core.ask(() => core.fs.removexattr(f, CAPABILITY, core.caller));
  finish();
  assert.equal(core.fs.getxattr(f, CAPABILITY, core.caller, Buffer.alloc(20), 20), -sys.ENODATA);
});

it('a capability that a change of owner removes meanwhile does not come back; times that were set remain', (t) => {
  const { core, finish } = halfCopied(t);
  const f = core.node('f')!;
  const change = new SetAttr();
  change.uid = 1;
  change.mtime = { sec: 1000, nsec: 0 };
  core.ask(() => core.fs.setattr(f, change, core.caller, new Attr()));
  finish();
  assert.equal(core.fs.getxattr(f, CAPABILITY, core.caller, Buffer.alloc(20), 20), -sys.ENODATA);
  assert.equal(lstatSync(core.place.at('upper/f')).mtimeMs, 1_000_000);
});

it('the data of a metacopy is copied even when its last name is gone', (t) => {
  const core = new Core(t, (p) => p.file('lower/f', 'data'), { metacopy: true, redirectDir: 'on' });
  const f = core.node('f')!;
  const change = new SetAttr();
  change.mode = 0o600;
  core.fs.setattr(f, change, core.caller, new Attr());
  core.fs.unlink(ROOT_ID, 'f');
  core.write(f, 4, ' and more');
  assert.equal(core.read(f), 'data and more');
  assert.equal(core.attr(f).nlink, 0);
});
