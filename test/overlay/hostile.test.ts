/** Hostile layers, and layers that somebody changes while they are served: nothing leads out of them or gives access. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdirSync, renameSync, rmSync, statSync, symlinkSync, writeFileSync } from 'node:fs';
import { test } from 'node:test';
import * as sys from '../../src/sys/index.js';
import { Attr, Caller, type NodeId, ROOT_ID, SetAttr } from '../../src/vfs/types.js';
import { Core, errno, it, makeDirectory } from './core-fixture.js';
import { isRoot, type Place } from './layer-fixture.js';

function setXattr(path: string, name: string, value: string): number {
  const bytes = Buffer.from(value, 'latin1');
  return sys.setxattr(sys.AT_FDCWD, path, name, bytes, bytes.length);
}

function xattrs(path: string): readonly string[] {
  const names = sys.xattrNames(sys.AT_FDCWD, path);
  return typeof names === 'number' ? [sys.errnoName(names)] : names;
}

function chmod(core: Core, node: NodeId, mode: number): void {
  const change = new SetAttr();
  change.mode = mode;
  core.fs.setattr(node, change, core.caller, new Attr());
}

it('a symlink that takes the place of a file on upper is not followed by chmod', (t) => {
  const core = new Core(t, (p) => {
    p.file('victim');
    chmodSync(p.at('victim'), 0o600);
    p.file('upper/f', 'x');
  });
  const f = core.node('f')!;
  rmSync(core.place.at('upper/f'));
  symlinkSync('../victim', core.place.at('upper/f'));
  assert.equal(
    errno(() => chmod(core, f, 0o4777)),
    'EOPNOTSUPP',
  );
  assert.equal(statSync(core.place.at('victim')).mode & 0o7777, 0o600);
});

test('chmod follows no symlink on kernels without fchmodat2(2) either', { skip: !isRoot }, (t) => {
  const place = execFileSync('mktemp', ['-d'], { encoding: 'utf8' }).trim();
  t.after(() => rmSync(place, { recursive: true }));
  writeFileSync(`${place}/f`, '');
  chmodSync(`${place}/f`, 0o600);
  symlinkSync('f', `${place}/l`);
  for (const chmodAt of [sys.fchmodat, sys.chmodOpened]) {
    assert.equal(chmodAt(sys.AT_FDCWD, `${place}/l`, 0o777), -sys.EOPNOTSUPP);
    assert.equal(statSync(`${place}/f`).mode & 0o7777, 0o600);
    assert.equal(chmodAt(sys.AT_FDCWD, `${place}/f`, 0o640), 0);
    assert.equal(statSync(`${place}/f`).mode & 0o7777, 0o640);
    chmodSync(`${place}/f`, 0o600);
  }
});

it('a device that takes the place of a file is not opened', (t) => {
  const core = new Core(t, (p) => {
    p.file('lower/f', 'x');
    p.file('upper/g', 'x');
  });
  const nodes = ['f', 'g'].map((name) => core.node(name)!);
  for (const path of ['lower/f', 'upper/g']) {
    rmSync(core.place.at(path));
    execFileSync('mknod', [core.place.at(path), 'c', '1', '5']);
  }
  assert.deepEqual(
    nodes.map((node) => errno(() => core.read(node))),
    ['EACCES', 'EACCES'],
  );
});

it('a redirect ends at a NUL byte, as in the kernel: what follows does not hide a ..', (t) => {
  const core = new Core(
    t,
    (p) => {
      p.file('lower2/x');
      p.file('secret/key', 'x');
      for (const path of ['lower/up', 'lower/down', 'lower/name', 'lower2/old']) p.dirs(path);
      p.file('lower2/old/f', 'x');
      setXattr(p.at('lower/up'), 'trusted.overlay.redirect', '..\0');
      setXattr(p.at('lower/down'), 'trusted.overlay.redirect', '/..\0/secret');
      setXattr(p.at('lower/name'), 'trusted.overlay.redirect', 'old\0/../x');
    },
    { lowerdir: ['lower', 'lower2'] },
  );
  assert.deepEqual(
    ['up', 'down'].map((name) => errno(() => core.node(name))),
    ['EACCES', 'EACCES'],
  );
  assert.deepEqual(core.list(core.node('name')!).names, ['.', '..', 'f']);
});

const FOREIGN = [
  'user.fuseoverlayfs.opaque',
  'user.fuseoverlayfs.override_stat',
  'user.containers.override_stat',
  'security.fuseoverlayfs.override_stat',
];

it('callers can not set, read or see marks of fuse-overlayfs and containers/storage', (t) => {
  const core = new Core(t, (p) => p.file('lower/d/f', 'x'));
  const value = Buffer.from('0:0:4755');
  for (const path of ['d', 'd/f']) {
    for (const name of FOREIGN) {
      const set = (): void => core.fs.setxattr(core.node(path)!, name, value, 0, false);
      assert.equal(errno(set), 'EOPNOTSUPP', `${name} of ${path}`);
      assert.equal(
        errno(() => core.fs.setxattr(ROOT_ID, name, value, 0, false)),
        'EOPNOTSUPP',
      );
    }
  }
  setXattr(core.place.at('lower/d/f'), FOREIGN[2]!, '0:0:4755');
  const names = Buffer.alloc(100);
  assert.equal(core.fs.listxattr(core.node('d/f')!, core.caller, names, names.length), 0);
});

it('a mark of fuse-overlayfs on a lower is not copied up, where it would hide that lower', (t) => {
  const core = new Core(t, (p) => {
    p.file('lower/d/f', 'x');
    setXattr(p.at('lower/d'), 'user.fuseoverlayfs.opaque', 'y');
    setXattr(p.at('lower/d'), 'user.mine', 'y');
  });
  core.make(core.node('d')!, 'new');
  assert.deepEqual(
    xattrs(core.place.at('upper/d')).filter((name) => name.startsWith('user.')),
    ['user.mine'],
  );
});

/** A stack on tmpfs, which can store more xattrs than listxattr(2) can list. */
function onTmpfs(p: Place): void {
  p.tmpfs('t');
  p.dirs('t/lower', 't/upper', 't/work');
}
const ON_TMPFS = { lowerdir: ['t/lower'], upperdir: 't/upper', workdir: 't/work' };

function giveMany(path: string): void {
  for (let i = 0; i < 300; i++) setXattr(path, `trusted.${String(i).padStart(240, '0')}`, 'v');
  assert.deepEqual(xattrs(path), ['E2BIG']);
}

it('an opaque directory stays opaque when it has more xattrs than can be listed', (t) => {
  const fill = (p: Place): void => {
    onTmpfs(p);
    p.file('t/lower/d/f', 'x');
    p.dirs('t/upper/d');
    setXattr(p.at('t/upper/d'), 'trusted.overlay.opaque', 'y');
    giveMany(p.at('t/upper/d'));
  };
  const core = new Core(t, fill, ON_TMPFS);
  assert.deepEqual(core.list(core.node('d')!).names, ['.', '..']);
});

it('a file with more xattrs than can be listed is not copied up without its ACL', (t) => {
  const fill = (p: Place): void => {
    onTmpfs(p);
    p.file('t/lower/f', 'x');
    giveMany(p.at('t/lower/f'));
  };
  const core = new Core(t, fill, ON_TMPFS);
  const f = core.node('f')!;
  assert.equal(
    errno(() => chmod(core, f, 0o666)),
    'E2BIG',
  );
  assert.equal(core.read(f), 'x');
});

it('set-id bits are not cleared by a chown(-1, -1) by anyone but the owner', (t) => {
  const core = new Core(t, (p) => {
    for (const [name, mode] of Object.entries({ su: 0o4755, chage: 0o2755, shared: 0o4777, plain: 0o755 })) {
      for (const layer of ['lower', 'upper']) {
        p.file(`${layer}/${layer}-${name}`);
        chmodSync(p.at(`${layer}/${layer}-${name}`), mode);
      }
    }
  });
  const caller = new Caller();
  const results = ['su', 'chage', 'shared', 'plain'].flatMap((name) =>
    ['lower', 'upper'].map((layer) => {
      const node = core.node(`${layer}-${name}`)!;
      caller.uid = 1000;
      const others = errno(() => core.fs.setattr(node, new SetAttr(), caller, new Attr()));
      const mode = (core.attr(node).mode & 0o7777).toString(8);
      caller.uid = 0;
      core.fs.setattr(node, new SetAttr(), caller, new Attr());
      return `${name} ${others} ${mode} ${(core.attr(node).mode & 0o7777).toString(8)}`;
    }),
  );
  const expected = ['su ok 4755 755', 'chage ok 2755 755', 'shared ok 777 777', 'plain ok 755 755'];
  assert.deepEqual(
    results,
    expected.flatMap((line) => [line, line]),
  );
});

it('upper and work are shown neither as a lower part of a directory nor by a redirect', (t) => {
  const fill = (p: Place): void => {
    onTmpfs(p);
    p.dirs('t/top/u', 't/low/u/direct', 't/low/u/further', 't/low/u/both', 't/low/w', 't/low/both');
    setXattr(p.at('t/low/u/direct'), 'trusted.overlay.redirect', '/w');
    setXattr(p.at('t/low/u/further'), 'trusted.overlay.redirect', '/u/both');
  };
  const core = new Core(t, fill, { lowerdir: ['t/top', 't/low'], upperdir: 't/low/u', workdir: 't/low/w' });
  const results = ['u', 'w', 'direct', 'further', 'both'].map((name) => errno(() => core.node(name)));
  assert.deepEqual(results, ['ELOOP', 'ELOOP', 'ELOOP', 'ELOOP', 'ok']);
});

it('a time above the range of the kernel becomes the last one in it', (t) => {
  const core = new Core(t, onTmpfs, ON_TMPFS);
  const f = core.make(ROOT_ID, 'f');
  const change = new SetAttr();
  change.mtime = { sec: 2 ** 63, nsec: 0 };
  assert.equal(
    errno(() => core.fs.setattr(f, change, core.caller, new Attr())),
    'ok',
  );
  assert.equal(
    execFileSync('stat', ['-c', '%Y', core.place.at('t/upper/f')], { encoding: 'utf8' }),
    `${2n ** 63n - 1n}\n`,
  );
});

it('a work directory that belongs to somebody else becomes ours before anything is built in it', (t) => {
  const core = new Core(
    t,
    (p) => {
      for (const name of ['work/work', 'work/index']) {
        p.dirs(name);
        execFileSync('chown', ['1234:1234', p.at(name)]);
        chmodSync(p.at(name), 0o777);
      }
    },
    { index: true },
  );
  for (const name of ['work/work', 'work/index']) {
    const { uid, gid } = statSync(core.place.at(name));
    assert.deepEqual([uid, gid], [0, 0], name);
  }
});

it('a directory of a layer that becomes a symlink to outside leads nowhere', (t) => {
  const core = new Core(t, (p) => {
    p.file('lower/d/e/f', 'x');
    p.file('upper/u/e/f', 'x');
    p.file('secret/e/f', 'secret');
  });
  const files = ['d/e/f', 'u/e/f'].map((path) => core.node(path)!);
  const dirs = ['d', 'u'].map((path) => core.node(path)!);
  for (const [layer, name] of [
    ['lower', 'd'],
    ['upper', 'u'],
  ]) {
    renameSync(core.place.at(`${layer}/${name}`), core.place.at(`away-${name}`));
    symlinkSync('../secret', core.place.at(`${layer}/${name}`));
  }
  for (const file of files) {
    const said = errno(() => assert.equal(core.read(file), 'x'));
    assert.match(said, /^(ok|ENOTDIR|ELOOP|ESTALE)$/);
  }
  for (const dir of dirs)
    assert.match(
      errno(() => makeDirectory(core, dir, 'evil')),
      /^(ok|E[A-Z]+)$/,
    );
  assert.throws(() => statSync(core.place.at('secret/evil')), /ENOENT/);
  mkdirSync(core.place.at('secret/more'));
  assert.equal(
    dirs.some((dir) => core.list(dir).names.includes('more')),
    false,
  );
});
