import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, lstatSync, readdirSync, statSync, symlinkSync, utimesSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import type { OverlayOptions } from '../../src/overlay/config.js';
import { commonAncestor } from '../../src/overlay/mount-clone.js';
import { encodeOrigin } from '../../src/overlay/origin.js';
import { UserError } from '../../src/overlay/user-error.js';
import {
  close,
  EROFS,
  fstatx,
  getxattr,
  mkdirat,
  nameToHandle,
  O_CREAT,
  O_PATH,
  O_RDONLY,
  O_WRONLY,
  openat,
  openByHandle,
  pread,
  renameat2,
  Stat,
  setxattr,
} from '../../src/sys/index.js';
import { descriptorCount, isRoot, needsMounts, needsTrusted, Place } from './layer-fixture.js';

const names = (fd: number): string[] => readdirSync(`/proc/self/fd/${fd}`).sort();

test('one lower is a read-only overlay and nothing is written', (t) => {
  const place = new Place(t);
  place.file('l/f', 'x');
  const opened = place.open({ lowerdir: ['l'], readOnly: true });
  assert.equal(opened.hasUpper, false);
  assert.equal(opened.work, -1);
  assert.equal(opened.indexDir, -1);
  assert.equal(opened.xinoBits, 0);
  assert.equal(opened.features.xattr, false);
  const [layer] = opened.layers;
  assert.equal(opened.layers.length, 1);
  assert.equal(layer!.kind, 'lower');
  assert.equal(layer!.index, 0);
  assert.equal(layer!.fsid, 1);
  assert.deepEqual(names(layer!.root), ['f']);
});

test('upper, lowers and data-only layers, top first', (t) => {
  const place = new Place(t);
  place.dirs('u', 'w', 'a', 'b', 'd');
  const opened = place.open({ lowerdir: ['a', 'b'], datadir: ['d'], upperdir: 'u', workdir: 'w' });
  assert.deepEqual(
    opened.layers.map(({ index, kind, fsid, path }) => [index, kind, fsid, path.slice(place.dir.length)]),
    [
      [0, 'upper', 0, '/u'],
      [1, 'lower', 0, '/a'],
      [2, 'lower', 0, '/b'],
      [3, 'data', 0, '/d'],
    ],
  );
  assert.equal(opened.hasUpper, true);
  assert.deepEqual(readdirSync(place.at('w')), ['work']);
  assert.deepEqual(names(opened.work), []);
  assert.equal(opened.features.xattr, true);
});

test('rename works from work to upper, whatever lies between them', (t) => {
  const place = new Place(t);
  place.dirs('u', 'deep/er/w', 'l');
  for (const [upperdir, workdir] of [
    ['u', 'deep/er/w'],
    ['u/../u', place.at('deep/../deep/er/w')],
  ]) {
    const opened = place.open({ lowerdir: ['l'], upperdir: upperdir!, workdir: workdir! });
    assert.equal(mkdirat(opened.work, '#1', 0o755), 0);
    assert.equal(renameat2(opened.work, '#1', opened.layers[0]!.root, 'made', 1), 0);
    assert.equal(renameat2(opened.layers[0]!.root, 'made', opened.work, '#1', 1), 0);
    place.close(opened);
  }
});

test('with / as the only common ancestor of upper and work', { skip: needsMounts }, (t) => {
  const place = new Place(t);
  const other = `/var/tmp/plyfs-work-${process.pid}`;
  place.dirs('u', 'l');
  t.after(() => spawnSync('rm', ['-rf', other]));
  spawnSync('mkdir', ['-p', other]);
  if (statSync(other).dev !== statSync(place.dir).dev) return t.skip('/tmp and /var/tmp are separate');
  const opened = place.open({ lowerdir: ['l'], upperdir: 'u', workdir: other });
  assert.equal(mkdirat(opened.work, '#1', 0o755), 0);
  assert.equal(renameat2(opened.work, '#1', opened.layers[0]!.root, 'made', 1), 0);
});

test('a layer does not show what is mounted in it, neither before nor after', { skip: needsTrusted }, (t) => {
  const place = new Place(t);
  place.tmpfs('fs');
  place.run('mount', '--make-shared', place.at('fs'));
  place.file('fs/l/sub/beneath');
  place.dirs('fs/l/later');
  place.tmpfs('fs/l/sub');
  place.file('fs/l/sub/above');
  const opened = place.open({ lowerdir: ['fs/l', '/'] });
  const [low, root] = opened.layers;
  assert.ok(low!.cloned && root!.cloned);
  place.tmpfs('fs/l/later');
  place.file('fs/l/later/above');
  assert.deepEqual(names(openat(low!.root, 'sub', O_PATH)), ['beneath']);
  assert.deepEqual(names(openat(low!.root, 'later', O_PATH)), []);
  assert.deepEqual(names(openat(root!.root, 'proc', O_PATH)), []);
});

test('lowers are read-only for everybody and keep their access times', { skip: needsMounts }, (t) => {
  const place = new Place(t);
  const path = place.file('l/f', 'data');
  utimesSync(path, 1, 2);
  const { root } = place.open({ lowerdir: ['l'] }).layers[0]!;
  assert.equal(openat(root, 'new', O_WRONLY | O_CREAT, 0o600), -EROFS);
  assert.equal(openat(root, 'f', O_WRONLY), -EROFS);
  const fd = openat(root, 'f', O_RDONLY);
  assert.equal(pread(fd, Buffer.alloc(4), 4, 0), 4);
  close(fd);
  assert.equal(statSync(path).atimeMs, 1000);
});

test('layers do not keep the user’s mounts busy', { skip: needsMounts }, (t) => {
  const place = new Place(t);
  place.tmpfs('fs');
  place.dirs('fs/l', 'fs/u', 'fs/w');
  const opened = place.open({ lowerdir: ['fs/l'], upperdir: 'fs/u', workdir: 'fs/w' });
  place.umount('fs');
  assert.equal(mkdirat(opened.layers[0]!.root, 'still', 0o755), 0);
});

test('paths may lead through symlinks', (t) => {
  const place = new Place(t);
  place.file('real/l/f');
  place.dirs('links');
  symlinkSync('../real/l', place.at('links/ID'));
  const opened = place.open({ lowerdir: ['links/ID'] });
  assert.deepEqual(names(opened.layers[0]!.root), ['f']);
  assert.equal(opened.layers[0]!.path, place.at('links/ID'));
});

/** One row per mistake: the arguments (of directories l, l/in, l2, u, u/in, w, w/in and a file f), and the message. */
const MISTAKES: Record<string, [Partial<OverlayOptions>, RegExp]> = {
  'no lower': [{ lowerdir: [] }, /no lower directory is given/],
  'a missing lower': [{ lowerdir: ['l', 'gone'] }, /^lowerdir '.*\/gone' can't be used: it does not exist/],
  'a file as lower': [{ lowerdir: ['f'] }, /^lowerdir '.*\/f' can't be used: .*not a directory/],
  'a missing data layer': [{ lowerdir: ['l'], datadir: ['gone'] }, /^datadir '.*\/gone'/],
  'a missing upper': [
    { lowerdir: ['l'], upperdir: 'gone', workdir: 'w' },
    /^upperdir '.*\/gone' can't be used: it does not exist/,
  ],
  'a file as upper': [{ lowerdir: ['l'], upperdir: 'f', workdir: 'w' }, /^upperdir .*not a directory/],
  'a missing work': [{ lowerdir: ['l'], upperdir: 'u', workdir: 'gone' }, /^workdir .*does not exist/],
  'a file as work': [{ lowerdir: ['l'], upperdir: 'u', workdir: 'f' }, /^workdir .*not a directory/],
  'a path that is too long': [{ lowerdir: [`/${'x/'.repeat(3000)}`] }, /path is too long/],
  'upper without work': [{ lowerdir: ['l'], upperdir: 'u' }, /upperdir needs a workdir/],
  'work without upper': [{ lowerdir: ['l'], workdir: 'w' }, /workdir is of no use without upperdir/],
  'upper is work': [{ lowerdir: ['l'], upperdir: 'u', workdir: 'u' }, /are the same directory/],
  'work inside upper': [{ lowerdir: ['l'], upperdir: 'u', workdir: 'u/in' }, /are nested/],
  'upper inside work': [{ lowerdir: ['l'], upperdir: 'w/in', workdir: 'w' }, /are nested/],
  'a lower twice': [{ lowerdir: ['l', 'l2', 'l'] }, /^lowerdir '.*\/l' is given twice/],
  'a lower twice by another path': [{ lowerdir: ['l', 'link'] }, /^lowerdir '.*\/link' is given twice/],
  'a lower inside a lower': [{ lowerdir: ['l', 'l/in'] }, /lies inside lowerdir '.*\/l'/],
  'a lower around a lower': [
    { lowerdir: ['l/in', 'l'] },
    /^lowerdir '.*\/l\/in' lies inside lowerdir '.*\/l'/,
  ],
  'a lower as data layer': [{ lowerdir: ['l'], datadir: ['l'] }, /^datadir '.*\/l' is also the lowerdir/],
  'lower is upper': [{ lowerdir: ['u'], upperdir: 'u', workdir: 'w' }, /^lowerdir .* is also the upperdir/],
  'lower inside upper': [{ lowerdir: ['u/in'], upperdir: 'u', workdir: 'w' }, /lies inside upperdir/],
  'lower is work': [{ lowerdir: ['w'], upperdir: 'u', workdir: 'w' }, /^lowerdir .* is also the workdir/],
  'lower inside work': [{ lowerdir: ['w/in'], upperdir: 'u', workdir: 'w' }, /lies inside workdir/],
  '501 lowers': [
    { lowerdir: Array.from({ length: 501 }, (_, i) => `many${i}`) },
    /501 lower directories are given; 500 is the limit/,
  ],
};

for (const [name, [options, message]] of Object.entries(MISTAKES)) {
  test(`refused with one sentence: ${name}`, (t) => {
    const place = new Place(t);
    place.dirs('l/in', 'l2', 'u/in', 'w/in');
    place.file('f');
    symlinkSync('l', place.at('link'));
    const before = descriptorCount();
    assert.throws(
      () => place.open(options),
      (error: unknown) => {
        assert.ok(error instanceof UserError, String(error));
        assert.match(error.message, message);
        assert.match(error.message, /^[^\n]+\.$/);
        return true;
      },
    );
    assert.equal(descriptorCount(), before, 'nothing stays open');
    assert.deepEqual(readdirSync(place.at('w')), ['in'], 'nothing is written');
  });
}

test('paths that only look nested are accepted', (t) => {
  const place = new Place(t);
  place.dirs('l', 'l2', 'l.d', 'u', 'uw', 'l/upper', 'l/work');
  place.open({ lowerdir: ['l', 'l2', 'l.d'], upperdir: 'u', workdir: 'uw' });
  // Upper and work inside a lower: allowed, as for the kernel.
  const opened = place.open({ lowerdir: ['l'], upperdir: 'l/upper', workdir: 'l/work' });
  // A lookup that finds them is stopped by their identity.
  const inodes = ['l/upper', 'l/work'].map((name) => statSync(place.at(name)).ino);
  assert.deepEqual(
    opened.traps.map((trap) => trap.inoLo >>> 0),
    inodes,
  );
});

test('an unreadable lower, an unwritable upper or work', {
  skip: isRoot ? 'root reads everything' : false,
}, (t) => {
  const place = new Place(t);
  chmodSync(place.dirs('l'), 0);
  assert.throws(() => place.open({ lowerdir: ['l'] }), /^UserError: lowerdir .*permission denied/);
  place.dirs('l2', 'u', 'w');
  const writable = { lowerdir: ['l2'], upperdir: 'u', workdir: 'w' };
  chmodSync(place.at('u'), 0o500);
  assert.throws(() => place.open(writable), /^UserError: upperdir .*permission denied/);
  chmodSync(place.at('u'), 0o700);
  chmodSync(place.at('w'), 0o500);
  assert.throws(() => place.open(writable), /^UserError: workdir .*permission denied/);
});

test('nesting is detected through bind mounts', { skip: needsMounts }, (t) => {
  const place = new Place(t);
  place.dirs('l/in/er', 'u', 'w', 'fs');
  place.mount('bound', '--bind', place.at('l/in'));
  assert.throws(() => place.open({ lowerdir: ['bound', 'l'] }), /'.*bound' lies inside lowerdir '.*\/l'/);
  assert.throws(() => place.open({ lowerdir: ['l', 'bound/er'] }), /lies inside/);
  assert.throws(() => place.open({ lowerdir: ['l/in', 'bound'] }), /is given twice/);
  assert.throws(
    () => place.open({ lowerdir: ['l'], upperdir: 'bound/er', workdir: 'w' }),
    /different mounts of one filesystem/,
  );
  place.tmpfs('fs');
  assert.throws(() => place.open({ lowerdir: ['l'], upperdir: 'u', workdir: 'fs' }), /on another filesystem/);
});

test('an upper that is in use is refused, and free again when its mount ends', (t) => {
  const place = new Place(t);
  place.dirs('l', 'u', 'w', 'u2', 'w2');
  const first = place.open({ lowerdir: ['l'], upperdir: 'u', workdir: 'w' });
  const upper = { lowerdir: ['l'], upperdir: 'u', workdir: 'w2' };
  assert.throws(() => place.open(upper), /^UserError: upperdir '.*\/u' is in use by another plyfs mount/);
  assert.throws(
    () => place.open({ lowerdir: ['l'], upperdir: 'u2', workdir: 'w' }),
    /workdir '.*\/w' is in use/,
  );
  place.close(first);
  place.open(upper);
});

test('with index=on no layer may be in use as upper or work elsewhere, or lie inside one', (t) => {
  const place = new Place(t);
  place.dirs('l', 'u/in', 'w', 'u/u2', 'u/w2', 'u3', 'w3');
  place.open({ lowerdir: ['l'], upperdir: 'u', workdir: 'w' });
  const index = { upperdir: 'u3', workdir: 'w3', index: true };
  const inUse = 'in use as upper or work of another plyfs mount';
  assert.throws(() => place.open({ ...index, lowerdir: ['w'] }), new RegExp(`lowerdir '.*/w' is ${inUse}`));
  assert.throws(
    () => place.open({ ...index, lowerdir: ['l', 'u/in'] }),
    new RegExp(`lowerdir '.*/u/in' lies inside '.*/u', which is ${inUse}`),
  );
  assert.throws(
    () => place.open({ lowerdir: ['l'], upperdir: 'u/u2', workdir: 'u/w2', index: true }),
    new RegExp(`upperdir '.*/u/u2' lies inside '.*/u', which is ${inUse}`),
  );
  place.close(place.open({ lowerdir: ['u/in', 'l'], upperdir: 'u3', workdir: 'w3' }));
  place.open({ ...index, lowerdir: ['l'] });
});

for (const paths of ['absolute', 'relative']) {
  test(`the same of a kernel overlay with ${paths} paths`, { skip: needsMounts }, (t) => {
    const place = new Place(t);
    place.dirs('l', 'u/in', 'w', 'u3', 'w3', 'm');
    const at = (name: string): string => (paths === 'absolute' ? place.at(name) : name);
    place.mount(
      'm',
      '-t',
      'overlay',
      '-o',
      `lowerdir=${at('l')},upperdir=${at('u')},workdir=${at('w')}`,
      'overlay',
    );
    for (const lower of ['u', 'u/in', 'w']) {
      const stack = { lowerdir: [lower], upperdir: 'u3', workdir: 'w3' };
      assert.throws(
        () => place.open({ ...stack, index: true }),
        /in use as upper or work of (the|an) overlay/,
      );
      place.close(place.open(stack));
    }
    place.open({ lowerdir: ['l'], upperdir: 'u3', workdir: 'w3', index: true });
  });
}

test('an upper that a kernel overlay uses is refused', { skip: needsMounts }, (t) => {
  const place = new Place(t);
  place.dirs('l', 'l2', 'a, b/u', 'a, b/w', 'u2', 'w2');
  symlinkSync('a, b/u', place.at('u'));
  const text = (path: string): string => path.replaceAll(',', '\\,');
  const upper = text(place.at('a, b/u'));
  place.mount(
    'm',
    '-t',
    'overlay',
    'x',
    '-o',
    `lowerdir=${place.at('l')},upperdir=${upper},workdir=${text(place.at('a, b/w'))}`,
  );
  assert.throws(
    () => place.open({ lowerdir: ['l'], upperdir: 'u', workdir: 'a, b/w' }),
    /upperdir '.*\/u' is in use by the overlay mounted on '.*\/m'/,
  );
  place.umount('m');
  place.open({ lowerdir: ['l'], upperdir: 'u', workdir: 'a, b/w' });
});

test('an upper that a kernel overlay uses by a relative path is refused', { skip: needsMounts }, (t) => {
  const place = new Place(t);
  place.dirs('l', 'u', 'w', 'm', 'u2', 'w2');
  place.mount('m', '-t', 'overlay', 'x', '-o', 'lowerdir=l,upperdir=u,workdir=w');
  assert.throws(
    () => place.open({ lowerdir: ['l'], upperdir: 'u', workdir: 'w2' }),
    /upperdir '.*\/u' is in use by an overlay with relative paths, perhaps that mounted on '.*\/m'/,
  );
  // Another one does not conflict, and the check wrote nothing.
  place.close(place.open({ lowerdir: ['l'], upperdir: 'u2', workdir: 'w2' }));
  place.umount('m');
});

test('a read-only upper filesystem', { skip: needsMounts }, (t) => {
  const place = new Place(t);
  place.dirs('l');
  place.tmpfs('fs');
  place.dirs('fs/u', 'fs/w');
  place.run('mount', '-o', 'remount,ro', place.at('fs'));
  assert.throws(
    () => place.open({ lowerdir: ['l'], upperdir: 'fs/u', workdir: 'fs/w' }),
    /^UserError: upperdir '.*\/fs\/u' is on a read-only filesystem/,
  );
  const opened = place.open({ lowerdir: ['l'], upperdir: 'fs/u', workdir: 'fs/w', readOnly: true });
  assert.equal(opened.hasUpper, true);
  assert.equal(opened.work, -1);
});

test('an upper without xattrs is refused unless marks are written as names', { skip: needsMounts }, (t) => {
  const place = new Place(t);
  place.dirs('l');
  place.mount('fs', '-t', 'ramfs', 'plyfs-test');
  place.dirs('fs/u', 'fs/w');
  assert.throws(
    () => place.open({ lowerdir: ['l'], upperdir: 'fs/u', workdir: 'fs/w' }),
    /can't hold the xattrs/,
  );
  place.open({ lowerdir: ['l'], upperdir: 'fs/u', workdir: 'fs/w', whiteout: 'aufs' });
});

test('filesystems are numbered and distinguished by xino bits', { skip: needsMounts }, (t) => {
  const place = new Place(t);
  place.dirs('u', 'w', 'l');
  place.tmpfs('t1');
  place.tmpfs('t2');
  const lowerdir = ['t1', 'l', 't2'];
  const ids = (options: Partial<OverlayOptions>): [number[], number] => {
    const opened = place.open({ lowerdir, ...options });
    const got: [number[], number] = [opened.layers.map((layer) => layer.fsid), opened.xinoBits];
    place.close(opened);
    return got;
  };
  const writable = { upperdir: 'u', workdir: 'w' };
  assert.deepEqual(ids(writable), [[0, 1, 0, 2], 3]);
  assert.deepEqual(ids({}), [[1, 2, 3], 3]);
  assert.deepEqual(ids({ ...writable, xino: 'off' }), [[0, 1, 0, 2], -1]);
  assert.deepEqual(ids({ ...writable, lowerdir: ['l'] }), [[0, 0], 0]);
  const opened = place.open({ lowerdir, ...writable });
  const [, t1, , t2] = opened.layers;
  assert.ok(t1!.uuid === null || !Buffer.from(t1!.uuid).equals(t2!.uuid!));
});

test('numbers and xino bits give the inode numbers of kernel overlayfs', { skip: needsMounts }, (t) => {
  const place = new Place(t);
  place.tmpfs('t1');
  place.tmpfs('t2');
  for (const lower of ['t1', 'l', 't2']) place.file(`${lower}/in-${lower}`);
  place.dirs('u', 'w', 'm');
  for (const lowerdir of [
    ['t1', 'l', 't2'],
    ['l', 't1'],
  ]) {
    const opened = place.open({ lowerdir, upperdir: 'u', workdir: 'w' });
    place.close(opened);
    const options = `xino=on,upperdir=u,workdir=w,lowerdir=${lowerdir.join(':')}`;
    place.mount('m', '-t', 'overlay', 'x', '-o', options);
    for (const [i, lower] of lowerdir.entries()) {
      const real = statSync(place.at(`${lower}/in-${lower}`), { bigint: true }).ino;
      const fsid = BigInt(opened.layers[i + 1]!.fsid);
      const expected = real | (fsid << BigInt(64 - opened.xinoBits + 1));
      const seen = statSync(place.at(`m/in-${lower}`), { bigint: true }).ino;
      assert.equal(BigInt.asUintN(64, seen), expected, `${lower} of ${lowerdir}`);
    }
    place.umount('m');
  }
});

test('an inode is found by its handle', { skip: isRoot ? false : 'needs root' }, (t) => {
  const place = new Place(t);
  place.file('l/d/f');
  const opened = place.open({ lowerdir: ['l'] });
  const [layer] = opened.layers;
  if (!opened.canOpenByHandle) return t.skip('not permitted here');
  const dir = openat(layer!.root, 'd', O_PATH);
  const handle = nameToHandle(dir, 'f');
  assert.ok(typeof handle !== 'number');
  const fd = openByHandle(layer!.handleFd, handle, O_PATH);
  assert.ok(fd >= 0);
  const stat = new Stat();
  fstatx(fd, stat);
  assert.equal(stat.inoLo >>> 0, lstatSync(place.at('l/d/f')).ino);
  close(dir);
  close(fd);
});

for (const [uuid, upperOn] of [
  ['auto', '.'],
  ['off', '.'],
  ['off', 't'],
] as const) {
  test(`origins are those that the kernel writes (uuid=${uuid}, upper on ${upperOn})`, {
    skip: needsTrusted,
  }, (t) => {
    const place = new Place(t);
    place.tmpfs('t');
    place.dirs('m', `${upperOn}/u`, `${upperOn}/w`);
    const onOneFs = upperOn === 't';
    const lowerdir = [onOneFs ? 't/l2' : 'l', 't/l'];
    const upper = { upperdir: `${upperOn}/u`, workdir: `${upperOn}/w` };
    place.file(`${lowerdir[0]}/f`, 'x');
    place.file('t/l/g', 'x');
    const options = `lowerdir=${lowerdir.join(':')},upperdir=${upper.upperdir},workdir=${upper.workdir},uuid=${uuid}`;
    place.mount('m', '-t', 'overlay', 'x', '-o', options);
    chmodSync(place.at('m/f'), 0o600);
    chmodSync(place.at('m/g'), 0o600);
    place.umount('m');
    const opened = place.open({ lowerdir, ...upper, uuid });
    const [top, ...lowers] = opened.layers;
    assert.equal(opened.warnings.length, uuid === 'off' && !onOneFs ? 1 : 0);
    for (const [i, name] of ['f', 'g'].entries()) {
      const written = Buffer.alloc(256);
      const size = getxattr(top!.root, name, 'trusted.overlay.origin', written, 256);
      const handle = nameToHandle(lowers[i]!.root, name);
      assert.ok(size > 0 && typeof handle !== 'number');
      assert.deepEqual(encodeOrigin(lowers[i]!.uuid, handle, false), written.subarray(0, size), name);
    }
  });
}

test('index=on is interchangeable with the kernel and bound to its layers', { skip: needsMounts }, (t) => {
  const place = new Place(t);
  const kernel = (suffix: string): void => {
    place.mount(
      'm',
      '-t',
      'overlay',
      'x',
      '-o',
      `lowerdir=l,upperdir=u${suffix},workdir=w${suffix},index=on`,
    );
    place.umount('m');
  };
  place.dirs('l', 'l2', 'u1', 'w1', 'u2', 'w2', 'm');
  const ours = (suffix: string, lower = 'l', work = suffix): void => {
    const opened = place.open({
      lowerdir: [lower],
      upperdir: `u${suffix}`,
      workdir: `w${work}`,
      index: true,
    });
    assert.ok(opened.indexDir >= 0);
    assert.equal(opened.options.index, true);
    place.close(opened);
  };
  ours('1');
  kernel('1');
  kernel('2');
  ours('2');
  assert.throws(() => ours('1', 'l2'), /was used with index=on over another lowerdir/);
  assert.throws(() => ours('1', 'l', '2'), /belongs to another upperdir/);
});

test('a new upper gets a uuid as the kernel gives one, a used one does not', { skip: needsTrusted }, (t) => {
  const place = new Place(t);
  place.dirs('l', 'u', 'w', 'u2', 'w2');
  const uuidOf = (upperdir: string, workdir: string, options = {}): string => {
    const opened = place.open({ lowerdir: ['l'], upperdir, workdir, ...options });
    const value = Buffer.alloc(16);
    const size = getxattr(opened.layers[0]!.root, '', 'trusted.overlay.uuid', value, 16);
    place.close(opened);
    return size < 0 ? '' : value.toString('hex');
  };
  const first = uuidOf('u', 'w');
  assert.match(first, /^.{12}4.{3}[89ab].{15}$/);
  assert.equal(uuidOf('u', 'w', { uuid: 'on' }), first);
  assert.equal(uuidOf('u2', 'w2', { uuid: 'null' }), '');
  setxattr(-100, place.at('u2'), 'trusted.overlay.impure', Buffer.from('y'), 1);
  if (getxattrExists(place.at('u2'))) assert.equal(uuidOf('u2', 'w2'), '');
});

function getxattrExists(path: string): boolean {
  const fd = openat(-100, path, O_RDONLY);
  const size = getxattr(fd, '', 'trusted.overlay.impure', Buffer.alloc(1), 1);
  close(fd);
  return size === 1;
}

test('500 lowers', (t) => {
  const place = new Place(t);
  const lowerdir = Array.from({ length: 500 }, (_, i) => `many/${i}`);
  place.dirs(...lowerdir, 'u', 'w');
  const opened = place.open({ lowerdir, upperdir: 'u', workdir: 'w' });
  assert.equal(opened.layers.length, 501);
});

test('the common ancestor of paths', () => {
  assert.equal(commonAncestor(['/a/b', '/a/c']), '/a');
  assert.equal(commonAncestor(['/a/b', '/a/bc']), '/a');
  assert.equal(commonAncestor(['/a/b']), '/a/b');
  assert.equal(commonAncestor(['/a/b', '/a/b/c']), '/a/b');
  assert.equal(commonAncestor(['/a/b/c', '/a/b']), '/a/b');
  assert.equal(commonAncestor(['/a', '/b']), '/');
  assert.equal(commonAncestor(['/', '/b']), '/');
  assert.equal(commonAncestor(['/ab', '/a']), '/');
});

const inNamespace = spawnSync('unshare', ['-Ur', '-m', 'true']).status === 0 ? false : 'no user namespaces';

test('in a user namespace: user.overlay.* and no clone of locked mounts', { skip: inNamespace }, (t) => {
  const place = new Place(t);
  place.dirs('l', 'u', 'w');
  const script = `
    import { openLayers } from '${fileURLToPath(new URL('../../src/overlay/layers.js', import.meta.url))}';
    import { parseOptions } from '${fileURLToPath(new URL('../../src/overlay/options.js', import.meta.url))}';
    const { overlay } = parseOptions('lowerdir=${place.at('l')}:/proc/self/task,upperdir=${place.at('u')},workdir=${place.at('w')}');
    const o = openLayers(overlay);
    console.log(JSON.stringify([o.options.userxattr, o.options.redirectDir, o.canOpenByHandle, o.features.chardev, o.warnings]));
    try { openLayers({ ...overlay, redirectDir: 'on' }) } catch (e) { console.log(e.message) }`;
  const run = spawnSync('unshare', ['-Ur', '-m', process.execPath, '--input-type=module', '-e', script], {
    encoding: 'utf8',
  });
  const [state, refusal] = run.stdout.trim().split('\n');
  assert.equal(run.stderr, '');
  const [userxattr, redirect, byHandle, chardev, warnings] = JSON.parse(state!);
  assert.deepEqual([userxattr, redirect, byHandle], [true, 'nofollow', false]);
  assert.equal(chardev, warnings.length === 0);
  assert.match(refusal!, /redirect_dir=on needs trusted/);
  assert.ok(existsSync(place.at('w/work')));
});
