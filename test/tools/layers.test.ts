/** `plyfs layers`: numbers compared with du(1) and find(1) on the same directories and on a mount of them. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { type LayersResult, layers } from '../../src/tools/layers.js';
import { plyfs } from '../support/drivers.js';
import { Scratch } from '../support/scratch.js';
import { missingTools } from '../support/table.js';
import { cannotMount, changed, type Dirs, shell, stackDirs, tool, toolJson } from './support.js';

const MAKE = `mkdir -p a/b gone
head -c 100000 /dev/zero | tr '\\0' x > a/big; head -c 5000 /dev/urandom > a/b/small; ln a/big a/hard
head -c 70000 /dev/urandom > gone/waste; head -c 30000 /dev/urandom > changed; mkfifo pipe; truncate -s 1M sparse`;

describe('plyfs layers', () => {
  const scratch = new Scratch();
  let reason: string | null = null;
  let dirs: Dirs;
  let live: LayersResult;
  let seen = '';
  before(async () => {
    reason = await cannotMount();
    if (reason !== null) return;
    dirs = stackDirs(scratch);
    await shell(`cd ${dirs.lower}\n${MAKE}`);
    const script = 'rm -r gone; echo more >> changed; chmod 600 a/b/small; echo new > new';
    const whileMounted = async (): Promise<void> => {
      live = await toolJson<LayersResult>(['layers', dirs.merged]);
      seen = await shell(
        `find ${dirs.merged} -type f -printf '%i %s\\n' | sort -u | awk '{ n += $2 } END { print n }'`,
      );
    };
    await changed(dirs, script, { driver: plyfs, whileMounted });
  });
  after(() => scratch.dispose());
  const both = (): LayersResult => layers({ lower: [dirs.lower], upper: dirs.upper });

  it('sums up what callers see and what is shadowed', async (t) => {
    if (reason !== null) return t.skip(reason);
    const result = both();
    const [upper, lower] = result.layers;
    assert.deepEqual(live, result);
    assert.equal(result.visibleBytes, Number(seen));
    assert.equal(lower!.bytes, 100000 + 5000 + 70000 + 30000 + (1 << 20));
    assert.equal(lower!.shadowedBytes, 70000 + 30000 + 5000);
    assert.deepEqual(
      lower!.largestShadowed.map(({ path }) => path),
      ['gone/waste', 'changed', 'a/b/small'],
    );
    assert.equal(upper!.bytes, 30005 + 5000 + 4);
    assert.deepEqual([upper!.whiteouts, upper!.shadowedBytes, lower!.others], [1, 0, 1]);
    assert.equal(result.bytes, result.visibleBytes + result.shadowedBytes);
    const disk = await shell(
      `find ${dirs.lower} -type f -printf '%i %k\\n' | sort -u | awk '{ n += $2 } END { print n * 1024 }'`,
    );
    assert.equal(lower!.allocated, Number(disk));
  });

  it('leaves out unreadable parts, and says so', async (t) => {
    if (reason !== null) return t.skip(reason);
    const [upper, lower] = [scratch.directory('upper'), scratch.directory('lower')];
    await shell(
      `cd ${upper}; truncate -s 9 lost; setfattr -n trusted.overlay.metacopy lost; echo kept > kept`,
    );
    const result = layers({ upper, lower: [lower] });
    assert.deepEqual([result.unreadable, result.visibleFiles, result.visibleBytes], [['lost'], 1, 5]);
    const text = await tool(['layers', '--upper', upper, '--lower', lower]);
    assert.equal(text.stderr, "plyfs: warning: 1 path can't be read and is not counted: lost.\n");
    assert.equal(text.code, 0);
  });

  it('prints a table, and writes a page that has the same numbers and runs no foreign code', async (t) => {
    if (reason !== null) return t.skip(reason);
    await shell(`mkdir "${dirs.upper}/<"; head -c 90000 /dev/zero > "${dirs.upper}/</script><b>"`);
    const args = ['layers', '--upper', dirs.upper, '--lower', dirs.lower];
    const text = (await tool(args)).stdout;
    assert.match(
      text,
      /^layer +kind +files +dirs +whiteouts +size +on disk +shadowed +directory\n +0 +upper/,
    );
    assert.match(text, /\nvisible: 7 files, 1\.2 MiB; all layers: /);
    assert.match(text, /\nlargest shadowed files\n68\.4 KiB {2}layer 1 {2}gone\/waste\n/);
    const page = `${scratch.path}/page.html`;
    assert.equal((await tool([...args, '--html', page])).code, 0);
    const html = readFileSync(page, 'utf8');
    const data = /<script type="application\/json" id="data">(.*?)<\/script>/s.exec(html)![1]!;
    const { tree, ...numbers } = JSON.parse(data) as LayersResult;
    assert.deepEqual(numbers, JSON.parse(JSON.stringify(both())));
    assert.equal(tree!.bytes, numbers.visibleBytes);
    assert.equal(html.includes('</script><b>'), false);
    assert.doesNotMatch(html.replace(data, ''), /https?:|src=|@import/);
  });

  it('finds the layers of a kernel overlay whose paths have commas, colons and spaces', async (t) => {
    if (reason !== null) return t.skip(reason);
    const odd = scratch.directory('odd');
    const name = 'a, b';
    await shell(
      `cd '${odd}'; mkdir 'l:1' '${name} u' '${name} w' m; echo x > '${name} u/f'
      mount -t overlay overlay -o 'lowerdir=${odd}/l\\:1,upperdir=${odd}/a\\, b u,workdir=${odd}/a\\, b w' m`,
    );
    try {
      const found = await toolJson<LayersResult>(['layers', `${odd}/m`]);
      assert.deepEqual(
        found.layers.map(({ directory }) => directory),
        [`${odd}/${name} u`, `${odd}/l:1`],
      );
    } finally {
      await shell(`umount '${odd}/m'`);
    }
  });

  it('writes a page that a real browser renders', async (t) => {
    const missing = await missingTools(['chromium']);
    if (reason !== null || missing.length > 0) return t.skip(reason ?? 'not installed: chromium');
    const page = `${scratch.path}/drawn.html`;
    await tool(['layers', '--upper', dirs.upper, '--lower', dirs.lower, '--html', page]);
    const flags = `--headless --no-sandbox --disable-gpu --user-data-dir=${scratch.path}/browser --virtual-time-budget=1000`;
    const dom = await shell(`timeout 140 chromium ${flags} --dump-dom file://${page} 2>/dev/null`, {
      timeout: 150_000,
    });
    assert.ok(dom.split('class="cell"').length > 5, 'cells of the treemap');
    assert.match(dom, /<td>1.0 MiB<\/td><td>layer 1<\/td><td>sparse<\/td>/);
  });
});
