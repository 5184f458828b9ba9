/** Changes that fail halfway leave nothing in work and nothing open. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import type { TestContext } from 'node:test';
import * as sys from '../../src/sys/index.js';
import { fail } from '../../src/vfs/errors.js';
import { Caller, Entry, type NodeId, OpenReply, ROOT_ID } from '../../src/vfs/types.js';
import { withFreeDescriptors } from '../support/syscalls.js';
import { Core, errno, it, makeDirectory, move } from './core-fixture.js';
import { descriptorCount } from './layer-fixture.js';

/** Does `action` while `upper` is immutable behind the overlay's back: names in it can't be changed. */
function whileFrozen(t: TestContext, core: Core, action: () => void): void {
  const upper = core.place.at('upper');
  if (spawnSync('chattr', ['+i', upper]).status !== 0) {
    t.skip('chattr +i is not to be had here');
    return;
  }
  try {
    action();
  } finally {
    execFileSync('chattr', ['-i', upper]);
  }
}

/** The only thing that may be in work: the whiteout to which others are links. */
const SHARED = 1;

function inWork(core: Core): number {
  return readdirSync(core.place.at('work/work')).length;
}

it('unlink of a name that was taken meanwhile: no whiteout stays in work', (t) => {
  const core = new Core(t, (p) => p.file('lower/f'));
  core.node('f');
  core.place.file('upper/f', 'put there by somebody else');
  assert.equal(
    errno(() => core.fs.unlink(ROOT_ID, 'f')),
    'EEXIST',
  );
  assert.equal(inWork(core), SHARED);
});

it("unlink of a file that can't be replaced: no whiteout stays in work", (t) => {
  const core = new Core(t, (p) => {
    p.file('lower/f');
    p.file('upper/f');
  });
  core.node('f');
  whileFrozen(t, core, () => {
    assert.equal(
      errno(() => core.fs.unlink(ROOT_ID, 'f')),
      'EPERM',
    );
    assert.equal(inWork(core), SHARED);
  });
});

it('rename without RENAME_WHITEOUT that fails: no whiteout stays in work', (t) => {
  const fill = (p: Core['place']): void => {
    p.file('lower/f');
    p.file('upper/f');
  };
  const core = new Core(t, fill, {}, { lacks: ['renameWhiteout'] });
  core.node('f');
  whileFrozen(t, core, () => {
    assert.equal(
      errno(() => move(core, 'f', 'g')),
      'EPERM',
    );
    assert.equal(inWork(core), SHARED);
  });
});

it('rename over a directory with whiteouts that fails: no directory stays in work', (t) => {
  const core = new Core(t, (p) => p.file('lower/d/f'));
  core.fs.unlink(core.node('d')!, 'f');
  makeDirectory(core, ROOT_ID, 'n');
  whileFrozen(t, core, () => {
    assert.equal(
      errno(() => move(core, 'n', 'd')),
      'EPERM',
    );
    assert.equal(inWork(core), SHARED);
  });
});

/** A caller whose new objects can't be given their owner, as on a full disk. */
function unrecordable(): Caller {
  return Object.defineProperty(new Caller(), 'uid', { get: () => fail(sys.ENOSPC, 'setxattr') });
}

it("O_TMPFILE whose owner can't be recorded: no descriptor stays open", (t) => {
  const core = new Core(t, () => {}, { xattrPermissions: 2 });
  const mode = { flags: sys.O_RDWR, mode: 0o644 };
  const make = (): void => core.fs.tmpfile(ROOT_ID, mode, unrecordable(), new Entry(), new OpenReply());
  const before = descriptorCount();
  assert.equal(errno(make), 'ENOSPC');
  assert.equal(descriptorCount(), before);
});

it('O_TMPFILE without a second descriptor: the first is closed and the inode freed', (t) => {
  const core = new Core(t, () => {}, {}, { services: { dataMode: 'passthrough' } });
  const mode = { flags: sys.O_RDWR, mode: 0o644 };
  const entry = new Entry();
  const make = (): void => core.fs.tmpfile(ROOT_ID, mode, core.caller, entry, new OpenReply());
  make();
  const before = descriptorCount();
  withFreeDescriptors(1, () => assert.equal(errno(make), 'EMFILE'));
  assert.equal(descriptorCount(), before);
  const next = (entry.node + 1) as NodeId;
  assert.equal(
    errno(() => core.attr(next)),
    'ESTALE',
  );
});

it("CREATE whose owner can't be recorded: no descriptor and no file stays", (t) => {
  const core = new Core(t, () => {}, { xattrPermissions: 2 }, { services: { dataMode: 'passthrough' } });
  const mode = { flags: sys.O_RDWR, mode: 0o644 };
  const make = (): void => core.fs.create(ROOT_ID, 'f', mode, unrecordable(), new Entry(), new OpenReply());
  const before = descriptorCount();
  assert.equal(errno(make), 'ENOSPC');
  assert.equal(descriptorCount(), before);
  assert.equal(core.node('f'), null);
});

it('removals that fail: nothing is kept open for them', (t) => {
  const core = new Core(t, (p) => {
    p.file('upper/f');
    p.file('upper/d/f');
    p.dirs('upper/e', 'upper/empty');
  });
  core.node('f');
  // Their descriptors are kept for later use.
  for (const path of ['d', 'e', 'empty']) core.list(core.node(path)!);
  const before = descriptorCount();
  assert.equal(
    errno(() => core.fs.rmdir(ROOT_ID, 'd')),
    'ENOTEMPTY',
  );
  assert.equal(
    errno(() => move(core, 'e', 'd')),
    'ENOTEMPTY',
  );
  whileFrozen(t, core, () => {
    for (const remove of [
      () => core.fs.unlink(ROOT_ID, 'f'),
      () => core.fs.rmdir(ROOT_ID, 'empty'),
      () => move(core, 'e', 'empty'),
    ]) {
      assert.equal(errno(remove), 'EPERM');
    }
  });
  assert.equal(descriptorCount(), before);
});
