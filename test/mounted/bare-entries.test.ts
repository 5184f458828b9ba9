/** What a listing alone contains, and what it costs: names are returned without looking at the objects (walkers.ts). */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { isDeepStrictEqual } from 'node:util';
import { plyfs } from '../support/drivers.js';
import { must } from '../support/exec.js';
import { Fixture, type Layers } from '../support/fixture.js';
import { COMMAND } from '../support/namespace.js';
import { Scratch } from '../support/scratch.js';
import { lacking } from '../support/table.js';

async function withFixture(layers: Layers, body: (fixture: Fixture) => Promise<void>): Promise<void> {
  const scratch = new Scratch();
  const fixture = new Fixture(scratch, plyfs, layers);
  try {
    await fixture.mount();
    await body(fixture);
    assert.deepEqual(fixture.lowerChanges(), []);
  } finally {
    await fixture.dispose();
    scratch.dispose();
  }
}

/** Walks by names and types alone, as find(1) does: one line for each name, `path type d_ino`. */
const LIST = `python3 -c '
import os
def walk(path):
    for e in os.scandir(path):
        kind = "dl-"[0 if e.is_dir(follow_symlinks=False) else 1 if e.is_symlink() else 2]
        print(e.path, kind, e.inode())
        if kind == "d": walk(e.path)
walk(".")' | sort`;
/** The same, as lstat(2) in another process shows it. */
const STAT = `find . -mindepth 1 -printf '%p\\n' | python3 -c '
import os, stat, sys
for path in sys.stdin.read().split("\\n")[:-1]:
    s = os.lstat(path)
    print(path, "d" if stat.S_ISDIR(s.st_mode) else "l" if stat.S_ISLNK(s.st_mode) else "-", s.st_ino)' | sort`;

const STACK: Layers = {
  lower: [
    ['put d/top top', 'put both top', 'symlink target d/link', 'whiteout d/gone'],
    ['put d/low low', 'put d/gone x', 'put both low', 'put one x', 'link one two'],
  ],
  upper: ['put d/up up', 'put u/f f'],
};

const CHANGES = `echo x >>d/low; echo new >new; mv d/top d/moved; ln one three; echo x >>two; chmod 600 u/f; mkfifo d/fifo
rm d/up; mv d/link u/; mkdir d/sub; touch d/sub/f; ln d/low u/low`;

describe('entries without attributes', () => {
  for (const options of [[], ['index=on'], ['metacopy=on', 'redirect_dir=on']]) {
    it(`have the type and inode number that lstat shows (${options.join(',') || 'defaults'})`, async (t) => {
      const reason = (await plyfs.unavailable()) ?? (await lacking('python3'));
      if (reason !== null) return t.skip(reason);
      await withFixture({ ...STACK, options }, async (fixture) => {
        const check = async (when: string): Promise<void> => {
          const listed = await fixture.sh(LIST);
          assert.equal(listed.stderr, '', when);
          assert.match(listed.stdout, /^\.\/both - [1-9]\d*$/m, when);
          assert.equal(listed.stdout, (await fixture.sh(STAT)).stdout, when);
        };
        await check('at first');
        assert.equal((await fixture.sh(CHANGES)).stderr, '');
        await check('after changes');
        await fixture.unmount();
        await fixture.mountAgain(plyfs);
        await check('mounted again');
      });
    });
  }

  it('cost a walk by names no look at any file, and a walk by attributes few lookups', async (t) => {
    const reason = await plyfs.unavailable();
    if (reason !== null) return t.skip(reason);
    const DIRECTORIES = 10;
    const FILES = 20;
    const lower = Array.from({ length: DIRECTORIES * FILES }, (_, i) => `put d${i % DIRECTORIES}/f${i} x`);
    await withFixture({ lower: [lower] }, async (fixture) => {
      const counted = async (script: string): Promise<{ nodes: number; lookups: number }> => {
        assert.equal((await fixture.sh(script)).stderr, '');
        const stats = JSON.parse(await must(COMMAND, ['stats', '--json', fixture.merged]));
        const lookups = stats.requests.find(({ name }: { name: string }) => name === 'LOOKUP');
        return { nodes: stats.caches.nodes.misses, lookups: lookups?.count ?? 0 };
      };
      const wanted = {
        names: DIRECTORIES,
        attributes: DIRECTORIES + DIRECTORIES * FILES,
        // Those of the first directory, and none of the others.
        lookups: FILES,
      };
      let seen: typeof wanted | null = null;
      // Another process may make the kernel forget what it knows (drop_caches), and it then asks again.
      for (let i = 0; i < 5 && !isDeepStrictEqual(seen, wanted); i++) {
        const names = await counted('find . >/dev/null');
        await fixture.unmount();
        await fixture.mountAgain(plyfs);
        const attributes = await counted('ls -lR . >/dev/null');
        const lookups = attributes.lookups - names.lookups;
        seen = { names: names.nodes, attributes: attributes.nodes, lookups };
        await fixture.unmount();
        await fixture.mountAgain(plyfs);
      }
      assert.deepEqual(seen, wanted);
    });
  });
});
