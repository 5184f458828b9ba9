import assert from 'node:assert/strict';
import { chmodSync, mkdirSync, readdirSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { it } from 'node:test';
import { CACHE_COUNTS } from '../../src/overlay/cache-counts.js';
import type { Layer } from '../../src/overlay/config.js';
import { DirFds } from '../../src/overlay/fd-cache.js';
import { RealDir } from '../../src/overlay/inode.js';
import * as sys from '../../src/sys/index.js';
import { Scratch } from '../support/scratch.js';

it('a listing that fails halfway keeps no descriptor open', () => {
  const root = sys.openat(sys.AT_FDCWD, tmpdir(), sys.O_PATH | sys.O_DIRECTORY);
  const made = `plyfs-test-${process.pid}`;
  assert.equal(sys.mkdirat(root, made, 0o700), 0);
  const dirs = new DirFds(16, new Float64Array(CACHE_COUNTS), () => false);
  const top = new RealDir({ root } as Layer, null, '');
  try {
    const before = readdirSync('/proc/self/fd').length;
    for (let i = 0; i < 10; i++) {
      assert.throws(
        () =>
          dirs.list(top, () => {
            throw new Error('no type');
          }),
        /no type/,
      );
    }
    assert.equal(readdirSync('/proc/self/fd').length, before);
  } finally {
    sys.unlinkat(root, made, sys.AT_REMOVEDIR);
    sys.close(root);
  }
});

it('a directory that was opened without read permission can still be listed, repeatedly', (t) => {
  if (process.geteuid!() !== 0) return t.skip('not root');
  const scratch = new Scratch();
  chmodSync(scratch.path, 0o711);
  mkdirSync(`${scratch.path}/d/name`, { recursive: true });
  chmodSync(`${scratch.path}/d`, 0o711);
  const root = sys.openat(sys.AT_FDCWD, scratch.path, sys.O_PATH | sys.O_DIRECTORY);
  const dirs = new DirFds(16, new Float64Array(CACHE_COUNTS), () => false);
  const layer = { root, kind: 'lower' } as Layer;
  const dir = new RealDir(layer, new RealDir(layer, null, ''), 'd');
  try {
    sys.setfsuid(65534);
    dirs.fd(dir);
    sys.setfsuid(0);
    for (let i = 0; i < 2; i++)
      assert.deepEqual(
        dirs.read(dir).map(({ name }) => name),
        ['name'],
      );
  } finally {
    sys.setfsuid(0);
    dirs.clear();
    sys.close(root);
    scratch.dispose();
  }
});
