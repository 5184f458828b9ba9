/** `plyfs diff` on uppers that real mounts wrote. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import type { Change, DiffResult } from '../../src/tools/diff.js';
import { diff } from '../../src/tools/diff.js';
import { drivers } from '../support/drivers.js';
import { Scratch } from '../support/scratch.js';
import { cannotMount, changed, shell, stackDirs, tool, toolJson } from './support.js';

const LOWER = `
mkdir -p etc usr/lib opaque/deep moved/sub plain
echo one > etc/one; echo two > etc/two; echo three > etc/three; echo four > etc/four
echo keep > opaque/keep; echo gone > opaque/deep/gone
echo m > moved/sub/m; echo p > plain/p
ln -s one etc/link; touch -d 2001-01-01 etc/one etc/two etc/three etc/four`;

const CHANGES = `
echo more >> etc/one
chmod 600 etc/two
touch -c -d 2001-01-01 etc/four; chown 0:0 etc/four
rm etc/three; mkdir etc/three; echo x > etc/three/x
rm -r opaque; mkdir opaque; echo keep > opaque/keep; touch -d 2001-01-01 opaque/keep
ln -sfn two etc/link
echo new > usr/new
rm -r plain
setfattr -n user.k -v v usr/lib`;

function brief({ kind, path, from, what, type }: Change): string {
  const source = from === undefined ? '' : `${from} -> `;
  return `${kind} ${type} ${source}${path} ${(what ?? []).join(',')}`.trim();
}

describe('plyfs diff', () => {
  const scratch = new Scratch();
  let reason: string | null = null;
  before(async () => {
    reason = await cannotMount();
  });
  after(() => scratch.dispose());

  for (const driver of drivers) {
    it(`shows what a ${driver.name} mount changed, live and from its directories`, async (t) => {
      if (reason !== null) return t.skip(reason);
      const dirs = stackDirs(scratch);
      await shell(`cd ${dirs.lower}\n${LOWER}`);
      let live: DiffResult | null = null;
      const whileMounted = async (): Promise<void> => {
        live = await toolJson<DiffResult>(['diff', dirs.merged, '--all']);
      };
      await changed(dirs, CHANGES, { driver, whileMounted });
      const result = diff({ lower: [dirs.lower], upper: dirs.upper, unchanged: true });
      assert.deepEqual(
        result.changes.map(brief),
        [
          'unchanged file etc/four',
          'changed symlink etc/link target,mtime',
          'changed file etc/one content,mtime',
          'replaced directory etc/three',
          'added file etc/three/x',
          'changed file etc/two mode',
          'replaced directory opaque',
          'deleted directory opaque/deep',
          'changed file opaque/keep mtime',
          'deleted directory plain',
          'changed directory usr/lib xattrs',
          'added file usr/new',
        ].sort((a, b) => (a.split(' ')[2]! < b.split(' ')[2]! ? -1 : 1)),
      );
      assert.deepEqual(live, result);
      assert.equal(result.summary.bytesAdded, 'one\nmore\nx\nnew\n'.length);
    });
  }

  it('shows renames: redirected directories, moved files, and what changed in them', async (t) => {
    if (reason !== null) return t.skip(reason);
    const dirs = stackDirs(scratch);
    await shell(`cd ${dirs.lower}\n${LOWER}`);
    const script = `mv moved here; echo y > here/y; echo more >> here/sub/m; mv here/sub there
mv etc/one etc/uno; mv etc/two usr/two; chmod 700 usr/two; mv plain/p p; rmdir plain; rm etc/four; echo n > etc/four`;
    await changed(dirs, script, { options: ['redirect_dir=on'] });
    assert.deepEqual(diff({ lower: [dirs.lower], upper: dirs.upper }).changes.map(brief), [
      'changed file etc/four content,mtime',
      'renamed file etc/one -> etc/uno',
      'renamed directory moved -> here',
      'added file here/y',
      'renamed file plain/p -> p',
      'deleted directory plain',
      'renamed directory moved/sub -> there',
      'changed file there/m content,mtime',
      'renamed file etc/two -> usr/two',
    ]);
  });

  it('distinguishes metacopies from copies, and reports copies without a change', async (t) => {
    if (reason !== null) return t.skip(reason);
    const dirs = stackDirs(scratch);
    await shell(`cd ${dirs.lower}\n${LOWER}`);
    const options = ['metacopy=on', 'redirect_dir=on'];
    await changed(dirs, 'chmod 600 etc/one; mv etc/two etc/deux; chmod 777 etc/deux', { options });
    await shell(`cp -a ${dirs.lower}/etc/three ${dirs.upper}/etc/three`);
    const result = diff({ lower: [dirs.lower], upper: dirs.upper, unchanged: true });
    assert.deepEqual(result.changes.map(brief), [
      'renamed file etc/two -> etc/deux mode',
      'changed file etc/one mode',
      'unchanged file etc/three',
    ]);
    assert.equal(result.summary.bytesUnchanged, 6);
  });

  it('relies on the marks when no lower is given', async (t) => {
    if (reason !== null) return t.skip(reason);
    const dirs = stackDirs(scratch);
    await shell(`cd ${dirs.lower}\n${LOWER}`);
    await changed(dirs, CHANGES);
    const { changes } = diff({ lower: [], upper: dirs.upper });
    const kinds = Object.fromEntries(changes.map(({ path, kind }) => [path, kind]));
    assert.equal(kinds['plain'], 'deleted');
    assert.equal(kinds['opaque'], 'replaced');
    assert.equal(kinds['usr/new'], 'added');
    assert.equal(kinds['etc/one'], 'changed');
    const unchanged = stackDirs(scratch);
    await changed(unchanged, 'true');
    assert.deepEqual(diff({ lower: [], upper: unchanged.upper }).changes, []);
    assert.throws(() => diff({ lower: [], upper: unchanged.merged }), /is not marked as an upper/);
  });

  it('prints safe text, patches, numbers, and one sentence for a mistake', async (t) => {
    if (reason !== null) return t.skip(reason);
    const dirs = stackDirs(scratch);
    await shell(`cd ${dirs.lower}\n${LOWER}`);
    await changed(dirs, 'echo more >> etc/one; touch "$(printf \'a\\033[31m\\377\')"');
    const args = ['diff', dirs.upper, '--lower', dirs.lower];
    const patch = await tool([...args, '--patch']);
    assert.match(patch.stdout, /^A {2}a\\x1b\[31m\\xff {2}0 B$/m);
    assert.match(patch.stdout, /^C {2}etc\/one {2,}4 B -> 9 B {2}content, mtime$/m);
    assert.match(patch.stdout, /\n--- a\/etc\/one\n\+\+\+ b\/etc\/one\n@@ -1,1 \+1,2 @@\n one\n\+more\n/);
    assert.equal((await tool([...args, '--stat'])).stdout, '1 added, 1 changed; 9 B written, 4 B gone\n');
    const missing = await tool(['diff', `${dirs.upper}/none`]);
    assert.equal(missing.code, 1);
    assert.match(missing.stderr, /^plyfs: can't use '.*none': it does not exist\.\n$/);
    assert.equal((await tool(['diff'])).code, 2);
    assert.match((await tool(['diff', '--help'])).stdout, /Exit codes: 0 done/);
  });

  it('shows no patch of files that were made to take endless time', () => {
    const [upper, lower] = [scratch.directory('upper'), scratch.directory('lower')];
    const lines = (from: number): string =>
      Array.from({ length: 130_000 }, (_, i) => `${from + i}\n`).join('');
    writeFileSync(`${lower}/f`, lines(100_000));
    writeFileSync(`${upper}/f`, lines(500_000));
    const { changes } = diff({ upper, lower: [lower], patch: true });
    assert.deepEqual(
      changes.map(({ kind, path, patch }) => [kind, path, patch]),
      [['changed', 'f', undefined]],
    );
  });
});
