import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import {
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { test } from 'node:test';
import type { OpenedLayers, OverlayOptions } from '../../src/overlay/config.js';
import { isRoot, needsMounts, Place } from './layer-fixture.js';

const PERMISSIONS = 0o7777;

function mount(place: Place, options: Partial<OverlayOptions> = {}): OpenedLayers {
  place.dirs('l', 'u', 'w');
  return place.open({ lowerdir: ['l'], upperdir: 'u', workdir: 'w', ...options });
}

test('work is emptied and closed to others', (t) => {
  const place = new Place(t);
  mount(place);
  assert.deepEqual(readdirSync(place.at('w')), ['work']);
  assert.equal(lstatSync(place.at('w/work')).mode & PERMISSIONS, isRoot ? 0 : 0o700);
});

test('leftovers of a crash are cleared, whatever they are, and nothing else', (t) => {
  const place = new Place(t);
  place.dirs('w/work/#1/a/b/c/d/e', 'w/mine', 'precious');
  place.file('w/work/#1/a/b/c/f', 'x');
  place.file('w/mine/f', 'x');
  place.file('precious/f', 'x');
  symlinkSync(place.at('precious'), place.at('w/work/link'));
  symlinkSync('../../../precious', place.at('w/work/#1/link'));
  symlinkSync('nowhere', place.at('w/work/dangling'));
  execFileSync('mkfifo', [place.at('w/work/fifo')]);
  writeFileSync(Buffer.from(`${place.at('w/work')}/\xff\xfe`, 'latin1'), '');
  chmodSync(place.at('w/work/#1/a/b/c'), 0);
  chmodSync(place.at('w/work/#1'), 0o500);
  chmodSync(place.at('w/work'), 0);
  mount(place);
  if (!isRoot) chmodSync(place.at('w/work'), 0o700);
  assert.deepEqual(readdirSync(place.at('w/work')), []);
  assert.deepEqual(readdirSync(place.at('w')).sort(), ['mine', 'work']);
  assert.ok(existsSync(place.at('precious/f')));
  assert.ok(existsSync(place.at('w/mine/f')));
});

test('a file or a symlink in the place of work is replaced, its target untouched', (t) => {
  const place = new Place(t);
  place.file('w/work', 'x');
  place.close(mount(place));
  assert.ok(lstatSync(place.at('w/work')).isDirectory());
  execFileSync('rmdir', [place.at('w/work')]);
  place.file('precious/f');
  symlinkSync('../precious', place.at('w/work'));
  mount(place);
  assert.ok(lstatSync(place.at('w/work')).isDirectory());
  assert.deepEqual(readdirSync(place.at('precious')), ['f']);
});

test('volatile leaves a mark that forbids the next mount until somebody removes it', (t) => {
  const place = new Place(t);
  place.close(mount(place, { volatile: true }));
  const dirty = place.at('w/work/incompat/volatile/dirty');
  const modes = ['w/work', 'w/work/incompat', 'w/work/incompat/volatile'].map(
    (name) => lstatSync(place.at(name)).mode & PERMISSIONS,
  );
  assert.deepEqual(new Set(modes), new Set([isRoot ? 0 : 0o700]));
  assert.equal(lstatSync(dirty).size, 0);
  assert.equal(lstatSync(dirty).mode & PERMISSIONS, 0);
  assert.throws(() => mount(place), /^UserError: workdir '.*\/w' belongs to a volatile mount/);
  assert.throws(() => mount(place, { volatile: true }), /belongs to a volatile mount/);
  assert.ok(existsSync(dirty));
  execFileSync('rm', ['-rf', place.at('w/work/incompat')]);
  mount(place);
});

test('an unknown mark in incompat forbids the mount, an empty incompat does not', (t) => {
  const place = new Place(t);
  place.dirs('w/work/incompat/quantum');
  assert.throws(() => mount(place), /feature 'quantum'/);
  execFileSync('rmdir', [place.at('w/work/incompat/quantum')]);
  mount(place);
});

test('the kernel refuses our volatile mark and we refuse the kernel’s', { skip: needsMounts }, (t) => {
  const place = new Place(t);
  place.close(mount(place, { volatile: true }));
  place.dirs('m');
  const kernel = (options: string): number | null =>
    spawnSync(
      'mount',
      ['-t', 'overlay', 'x', '-o', `lowerdir=l,upperdir=u,workdir=w${options}`, place.at('m')],
      {
        cwd: place.dir,
      },
    ).status;
  assert.notEqual(kernel(''), 0);
  execFileSync('rm', ['-rf', place.at('w/work/incompat')]);
  assert.equal(kernel(',volatile'), 0);
  execFileSync('umount', [place.at('m')]);
  assert.throws(() => mount(place), /belongs to a volatile mount/);
});

test('the index stays, and is only made when requested', (t) => {
  const place = new Place(t);
  place.close(mount(place));
  assert.ok(!existsSync(place.at('w/index')));
  const first = mount(place, { index: true });
  if (!first.options.index) return t.skip('no file handles here');
  place.close(first);
  const inode = lstatSync(place.at('w/index')).ino;
  if (!isRoot) chmodSync(place.at('w/index'), 0o700);
  place.close(mount(place, { index: true }));
  assert.equal(lstatSync(place.at('w/index')).ino, inode);
  place.file('w/index/00fb', '');
  assert.throws(() => mount(place, { index: true }), /can't understand '00fb' in the index/);
  assert.ok(existsSync(place.at('w/index/00fb')));
});

test('set-gid and default ACLs of the workdir are not inherited', (t) => {
  const place = new Place(t);
  const work = place.dirs('w');
  chmodSync(work, 0o2775);
  const acl = spawnSync('setfacl', ['-d', '-m', 'u:1234:rwx', work]).status === 0;
  mount(place);
  assert.equal(lstatSync(place.at('w/work')).mode & PERMISSIONS, isRoot ? 0 : 0o700);
  if (acl)
    assert.doesNotMatch(
      execFileSync('getfacl', ['-p', place.at('w/work')], { encoding: 'utf8' }),
      /user:1234:/,
    );
});

test('a mount inside work is not crossed', { skip: needsMounts }, (t) => {
  const place = new Place(t);
  place.dirs('w');
  mkdirSync(join(place.at('w'), 'work/sub'), { recursive: true });
  place.tmpfs('w/work/sub');
  place.file('w/work/sub/precious', 'x');
  assert.throws(() => mount(place), /can't clear the leftovers in 'work'/);
  assert.ok(existsSync(place.at('w/work/sub/precious')));
});

/** Uses up all inodes of the filesystem that `directory` is on. */
function takeInodes(directory: string): void {
  mkdirSync(directory);
  for (let i = 0; ; i++) {
    try {
      writeFileSync(`${directory}/${i}`, '');
    } catch (error) {
      assert.equal((error as NodeJS.ErrnoException).code, 'ENOSPC');
      return;
    }
  }
}

test('a full filesystem is not taken for one that lacks a feature', { skip: needsMounts }, (t) => {
  const place = new Place(t);
  place.mount('fs', '-t', 'tmpfs', '-o', 'nr_inodes=30', 'plyfs-test');
  place.dirs('l', 'fs/u', 'fs/w/work', 'fs/u2', 'fs/w2');
  takeInodes(place.at('fs/fill'));
  const opened = place.open({ lowerdir: ['l'], upperdir: 'fs/u', workdir: 'fs/w' });
  assert.deepEqual(opened.warnings, []);
  assert.equal(opened.options.whiteout, 'chardev');
  assert.throws(
    () => place.open({ lowerdir: ['l'], upperdir: 'fs/u2', workdir: 'fs/w2' }),
    /can't create 'work': its filesystem is full \(ENOSPC\); make room there/,
  );
});
