/** Changes that fail halfway: nothing of them stays in work, and nothing stays open. */
import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { readdirSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { ROOT_ID } from '../../src/vfs/types.js';
import { Core, errno, it, makeDirectory, move } from './core-fixture.js';

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

/** The one thing that may be in work: the whiteout of which others are links. */
const SHARED = 1;

function inWork(core: Core): number {
  return readdirSync(core.place.at('work/work')).length;
}

it('a whiteout that finds no place does not stay in work', (t) => {
  const core = new Core(t, (p) => p.file('lower/f'));
  core.node('f');
  core.place.file('upper/f', 'put there by somebody else');
  assert.equal(
    errno(() => core.fs.unlink(ROOT_ID, 'f')),
    'EEXIST',
  );
  assert.equal(inWork(core), SHARED);
});

it('nor one that can not take the place of a file', (t) => {
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

it('nor one that was to be left where something is moved away', (t) => {
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

it('nor the directory that was to take the place of one with whiteouts', (t) => {
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
