/** The core over temporary directories, without a mount: tests make requests and look at the layers. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { test } from 'node:test';
import * as sys from '../../src/sys/index.js';
import { Deferred } from '../../src/vfs/errors.js';
import { Attr, Entry, NO_FH, type NodeId, ROOT_ID, SetAttr } from '../../src/vfs/types.js';
import { Core, errno, isWhiteout, it } from './core-fixture.js';

it('reads come from the lower; the first write copies up and changes neither the lower nor st_ino', (t) => {
  const core = new Core(t, (p) => p.file('lower/d/f', 'below'));
  const f = core.node('d/f')!;
  const before = core.attr(f);
  assert.equal(core.read(f), 'below');
  core.write(f, 5, '!');
  const after = core.attr(f);
  assert.equal(core.read(f), 'below!');
  assert.deepEqual([after.inoLo, after.inoHi], [before.inoLo, before.inoHi]);
  assert.equal(readFileSync(core.place.at('upper/d/f'), 'utf8'), 'below!');
  assert.equal(readFileSync(core.place.at('lower/d/f'), 'utf8'), 'below');
  assert.deepEqual(readdirSync(core.place.at('work/work')), []);
});

it('a removed name leaves a whiteout only where something is below', (t) => {
  const core = new Core(t, (p) => p.file('lower/old'));
  core.make(ROOT_ID, 'new');
  core.fs.unlink(ROOT_ID, 'new');
  core.fs.unlink(ROOT_ID, 'old');
  assert.equal(core.node('old'), null);
  assert.ok(!existsSync(core.place.at('upper/new')));
  assert.ok(isWhiteout(core.place.at('upper/old')));
  core.make(ROOT_ID, 'old');
  assert.ok(lstatSync(core.place.at('upper/old')).isFile());
});

it('a directory made over a whiteout shows nothing of what the whiteout hid', (t) => {
  const core = new Core(t, (p) => p.file('lower/d/f'));
  core.fs.unlink(core.node('d')!, 'f');
  core.fs.rmdir(ROOT_ID, 'd');
  const entry = new Entry();
  core.fs.mkdir(ROOT_ID, 'd', 0o755, core.caller, entry);
  assert.deepEqual(core.list(entry.node).names, ['.', '..']);
  assert.equal(core.node('d/f'), null);
});

it('a directory with a lower part can not be renamed, one without can', (t) => {
  const core = new Core(t, (p) => p.dirs('lower/d'));
  const move = (from: string, to: string): void =>
    core.fs.rename({ parent: ROOT_ID, name: from }, { parent: ROOT_ID, name: to }, 0);
  assert.equal(
    errno(() => move('d', 'e')),
    'EXDEV',
  );
  core.fs.mkdir(ROOT_ID, 'n', 0o755, core.caller, new Entry());
  assert.equal(
    errno(() => move('n', 'm')),
    'ok',
  );
  assert.notEqual(core.node('m'), null);
});

it('an unlinked file stays readable until it is forgotten', (t) => {
  const core = new Core(t, (p) => p.file('upper/f', 'still here'));
  const f = core.node('f')!;
  core.fs.unlink(ROOT_ID, 'f');
  assert.equal(core.read(f), 'still here');
  assert.equal(core.attr(f).nlink, 0);
  core.fs.forget(f, 1);
  assert.equal(
    errno(() => core.attr(f)),
    'ESTALE',
  );
});

it('a large copy-up is deferred, and requests that arrive meanwhile wait for it', (t) => {
  const core = new Core(t, (p) => p.file('lower/big', 'x'.repeat(1 << 20)));
  const big = core.node('big')!;
  const data = Buffer.from('y');
  assert.throws(() => core.fs.write(big, NO_FH, 0, data, 1, null), Deferred);
  assert.ok(!existsSync(core.place.at('upper/big')));
  const change = new SetAttr();
  change.mode = 0o600;
  core.ask(() => core.fs.setattr(big, change, core.caller, new Attr()));
  core.write(big, 0, 'y');
  const copy = lstatSync(core.place.at('upper/big'));
  assert.deepEqual([copy.size, copy.mode & 0o777], [1 << 20, 0o600]);
});

it('offsets of a listing stay valid while names are removed and added', (t) => {
  const core = new Core(t, (p) => {
    for (const name of ['a', 'b', 'c', 'd', 'e']) p.file(`upper/${name}`);
  });
  const first = core.list(ROOT_ID, 0, 4);
  const gone = first.names[2]!;
  core.fs.unlink(ROOT_ID, gone);
  core.make(ROOT_ID, 'z');
  const rest = core.list(ROOT_ID, first.next).names;
  const seen = [...first.names, ...rest].filter((name) => !name.startsWith('.'));
  assert.deepEqual(seen.sort(), ['a', 'b', 'c', 'd', 'e']);
  const later = core.list(ROOT_ID).names.filter((name) => !name.startsWith('.'));
  assert.deepEqual(
    later.sort(),
    ['a', 'b', 'c', 'd', 'e', 'z'].filter((name) => name !== gone),
  );
});

it('directories are flushed where they are on upper, the root among them', (t) => {
  const core = new Core(t, (p) => p.dirs('lower/below', 'upper/above'));
  const flushes = (node: NodeId): string[] => {
    core.jobs.kinds.length = 0;
    core.ask(() => core.fs.fsyncdir(node, NO_FH, false));
    return [...core.jobs.kinds];
  };
  assert.deepEqual(flushes(core.node('below')!), []);
  assert.deepEqual(flushes(core.node('above')!), ['fsync']);
  assert.deepEqual(flushes(ROOT_ID), ['fsync']);
});

it('without an upper every change is EROFS', (t) => {
  const core = new Core(t, (p) => p.file('lower/f'), { upperdir: null, workdir: null });
  const f = core.node('f')!;
  assert.equal(
    errno(() => core.make(ROOT_ID, 'new')),
    'EROFS',
  );
  assert.equal(
    errno(() => core.fs.unlink(ROOT_ID, 'f')),
    'EROFS',
  );
  assert.equal(
    errno(() => core.write(f, 0, 'x')),
    'EROFS',
  );
  assert.equal(
    errno(() => core.fs.setxattr(f, 'user.x', Buffer.from('v'), 0, false)),
    'EROFS',
  );
});

it('an object that somebody else puts in the place of a file is found as what it is', (t) => {
  const core = new Core(t, (p) => p.file('upper/f', 'one'));
  core.node('f');
  rmSync(core.place.at('upper/f'));
  mkdirSync(core.place.at('upper/f'));
  writeFileSync(core.place.at('upper/f/g'), '');
  assert.notEqual(core.node('f/g'), null);
});

test('a file nested deeper than a call stack allows is read and copied up', (t) => {
  const depth = 7000;
  const core = new Core(t, (place) => makeChain(place.at('lower'), depth));
  try {
    const bottom = core.node(`${'d/'.repeat(depth)}bottom`)!;
    assert.equal(core.fs.readlink(bottom), 'here');
    const owner = new SetAttr();
    owner.uid = process.getuid!();
    core.ask(() => core.fs.setattr(bottom, owner, core.caller, new Attr()));
    assert.deepEqual(readdirSync(core.place.at('work/work')), []);
    assert.ok(existsSync(core.place.at(`upper/${'d/'.repeat(1000)}`)));
  } finally {
    // No path leads that far down: rm(1) goes step by step.
    execFileSync('rm', ['-r', core.place.at('lower'), core.place.at('upper')]);
  }
});

for (const layer of ['lower', 'upper']) {
  test(`renaming the names of ${layer} while reading them comes to an end`, (t) => {
    const count = 300;
    const core = new Core(t, (place) => {
      for (let i = 0; i < count; i++) place.file(`${layer}/f${i}`);
    });
    const root = ROOT_ID as NodeId;
    const rename = (from: string, to: string) =>
      core.ask(() => core.fs.rename({ parent: root, name: from }, { parent: root, name: to }, 0));
    const seen: string[] = [];
    for (let part = core.list(root, 0, 20); part.names.length > 0; part = core.list(root, part.next, 20)) {
      for (const name of part.names.filter((n) => n.startsWith('f'))) {
        seen.push(name);
        // To another name and back, and to a name that stays.
        rename(name, 'elsewhere');
        rename('elsewhere', name);
        rename(name, `new-${name}`);
      }
      assert.ok(seen.length <= count, 'no end');
    }
    assert.equal(new Set(seen).size, count);
    const after = core.list(root).names.filter((name) => !name.startsWith('.'));
    assert.deepEqual(after.sort(), seen.map((name) => `new-${name}`).sort());
  });
}

test('an open file whose known name is gone is the same inode under its remaining name', (t) => {
  const core = new Core(t, (place) => {
    place.file('upper/a', 'old');
    linkSync(place.at('upper/a'), place.at('upper/b'));
    linkSync(place.at('upper/a'), place.at('upper/c'));
  });
  const open = core.node('a')!;
  core.fs.unlink(ROOT_ID, 'a');
  core.fs.unlink(ROOT_ID, 'c');
  const left = core.node('b')!;
  assert.equal(left, open);
  core.write(open, 0, 'new');
  assert.equal(core.read(left), 'new');
  assert.equal(core.attr(left).nlink, 1);
});

test('no ioctl except those for flags reaches a layer, where it would run with our rights', (t) => {
  const core = new Core(t, (place) => {
    place.file('lower/low', 'x');
    place.file('upper/up', 'x');
  });
  // FS_IOC_GETVERSION and SETVERSION, FS_IOC32_GETFLAGS and SETFLAGS, EXT4_IOC_SHUTDOWN, FIGETBSZ.
  for (const command of [0x80087601, 0x40087602, 0x80046601, 0x40046602, 0x8004587d, 2]) {
    for (const name of ['low', 'up']) {
      const data = Buffer.from([16, 0, 0, 0, 0, 0, 0, 0]);
      const ask = () => core.fs.ioctl(core.node(name)!, NO_FH, command, data);
      assert.throws(() => core.ask(ask), { errno: sys.ENOTTY }, `${name} 0x${command.toString(16)}`);
    }
  }
  // Those for flags, with less memory than the real ones read and write.
  for (const [command, size] of [
    [0x80086601, 0],
    [0x40086602, 3],
    [0x801c581f, 27],
    [0x401c5820, 4],
  ] as const) {
    const ask = () => core.fs.ioctl(core.node('up')!, NO_FH, command, Buffer.alloc(size));
    assert.throws(() => core.ask(ask), { errno: sys.ENOTTY }, `${size} bytes 0x${command.toString(16)}`);
  }
  assert.deepEqual(readdirSync(core.place.at('upper')), ['up'], 'nothing is copied up');
  core.write(core.node('up')!, 0, 'not made immutable');
});

/** Directories named d, each in the one before, and a symlink in the last. */
function makeChain(top: string, depth: number): void {
  let fd = sys.openat(sys.AT_FDCWD, top, sys.O_PATH | sys.O_DIRECTORY);
  for (let i = 0; i < depth; i++) {
    assert.equal(sys.mkdirat(fd, 'd', 0o755), 0);
    const below = sys.openat(fd, 'd', sys.O_PATH | sys.O_DIRECTORY);
    sys.close(fd);
    fd = below;
  }
  assert.equal(sys.symlinkat('here', fd, 'bottom'), 0);
  sys.close(fd);
}
