/** `plyfs inspect`: the explanation agrees with what a kernel mount of the same layers shows. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { type InspectResult, inspect } from '../../src/tools/inspect.js';
import { kernel, plyfs } from '../support/drivers.js';
import { run } from '../support/exec.js';
import { Scratch } from '../support/scratch.js';
import { CLI, cannotMount, changed, shell, stackDirs, tool, toolJson } from './support.js';

/** Three lowers, bottom first, and the changes made in a mount over them. */
const BOTTOM =
  'mkdir -p d/sub gone o; echo b > d/f; echo b > d/low; echo b > gone/x; echo b > o/b; echo b > blocked; echo b > d/sub/s';
const MIDDLE =
  'mkdir -p d/sub o; echo m > d/f; echo m > o/m; mkdir blocked; echo m > blocked/in; echo m > d/sub/m; mkdir dir; echo m > dir/n';
const TOP =
  'mkdir d o; mknod gone c 0 0; setfattr -n trusted.overlay.opaque -v y o; echo t > d/top; echo t > dir';
const UPPER = 'rm d/low; echo u > d/f; mv d/sub renamed; chmod 600 o/m 2>/dev/null || echo u > o/u';

function states(result: InspectResult): string {
  return result.layers.map(({ state }) => state).join(' ');
}

describe('plyfs inspect', () => {
  const scratch = new Scratch();
  let reason: string | null = null;
  const lowers = ['top', 'middle', 'bottom'].map((name) => scratch.directory(name));
  const dirs = stackDirs(scratch);
  const options = ['redirect_dir=on', 'metacopy=on'];
  before(async () => {
    reason = await cannotMount();
    if (reason !== null) return;
    for (const [i, script] of [TOP, MIDDLE, BOTTOM].entries()) await shell(`cd ${lowers[i]}\n${script}`);
    const stack = { lower: lowers, upper: dirs.upper, work: dirs.work, options };
    const mounted = await kernel.mount(stack, dirs.merged);
    try {
      await shell(`cd ${dirs.merged}\n${UPPER}\nchmod 600 renamed/m`);
    } finally {
      await mounted.unmount();
    }
  });
  after(() => scratch.dispose());
  const at = (path: string): InspectResult => inspect({ lower: lowers, upper: dirs.upper, path });

  it('shows what each layer has and what hides it', (t) => {
    if (reason !== null) return t.skip(reason);
    assert.equal(states(at('d/f')), 'shown absent hidden hidden');
    assert.equal(states(at('d')), 'shown merged merged merged');
    const low = at('d/low');
    assert.deepEqual([low.exists, states(low)], [false, 'whiteout absent absent hidden']);
    assert.equal(low.layers[3]!.why, 'layer 0 has a whiteout at /d/low');
    assert.equal(at('gone/x').layers[3]!.why, 'layer 1 has a whiteout at /gone');
    const opaque = at('o/b');
    assert.equal(opaque.exists, false);
    assert.equal(opaque.layers[3]!.why, '/o on layer 1 is opaque');
    assert.equal(at('blocked/in').winner, 2);
    assert.equal(states(at('blocked')), 'absent absent shown hidden');
    assert.equal(at('dir/n').layers[2]!.why, '/dir on layer 1 is a file');
  });

  it('shows any time that a file can have', async (t) => {
    if (reason !== null) return t.skip(reason);
    const script = `mount -t tmpfs none ${dirs.merged}; cd ${dirs.merged}; touch -d @99999999999999 f
      '${process.execPath}' '${CLI}' inspect --lower . f --json`;
    const { stdout, stderr } = await run('unshare', ['-m', '--propagation=private', 'sh', '-ec', script]);
    assert.match(stdout, /"mtime": "99999999999999 s"/, stderr);
  });

  it('follows redirects and metacopies to where the data is', (t) => {
    if (reason !== null) return t.skip(reason);
    const renamed = at('renamed');
    assert.equal(renamed.layers[0]!.marks!['redirect'], '/d/sub');
    assert.equal(renamed.layers[2]!.path, '/d/sub');
    assert.equal(states(renamed), 'shown absent merged merged');
    const meta = at('renamed/m');
    assert.equal(states(meta), 'shown absent data absent');
    assert.equal(meta.layers[0]!.mode, '0600');
    assert.match(meta.layers[0]!.marks!['origin']!, /^handle type \d+ [0-9a-f]+ uuid [0-9a-f]{32}$/);
    assert.equal(at('renamed/s').winner, 3);
    assert.equal(at('d/sub').exists, false);
  });

  it('agrees with a kernel mount on every path', async (t) => {
    if (reason !== null) return t.skip(reason);
    const seen: string[] = [];
    const stack = { lower: lowers, upper: dirs.upper, work: dirs.work, options };
    const mounted = await kernel.mount(stack, dirs.merged);
    try {
      const found = await shell(
        `cd ${dirs.merged}; find . -mindepth 1 -type f -printf '%P %i '  -exec cat {} ';'`,
      );
      seen.push(...found.trim().split('\n'));
    } finally {
      await mounted.unmount();
    }
    assert.ok(seen.length >= 7);
    for (const line of seen) {
      const [path = '', ino, content] = line.split(' ');
      const result = at(path);
      assert.equal(result.ino, ino, path);
      const data = result.layers.find(({ state }) => state === 'data') ?? result.layers[result.winner!]!;
      assert.equal(readFileSync(`${data.directory}${data.path}`, 'utf8').trim(), content, path);
    }
  });

  it('finds the layers of a live mount, and who has the path open', async (t) => {
    if (reason !== null) return t.skip(reason);
    const own = stackDirs(scratch);
    await shell(`cd ${own.lower}; mkdir d; echo x > d/f`);
    const whileMounted = async (): Promise<void> => {
      const result = await toolJson<InspectResult & { openBy: number[] }>(['inspect', `${own.merged}/d/f`]);
      assert.equal(states(result), 'shown hidden');
      assert.equal(result.layers[1]!.directory, own.lower);
      assert.deepEqual(result.openBy, []);
      const text = await tool(['inspect', `${own.merged}/d/none`]);
      assert.equal(text.code, 1);
      assert.match(text.stdout, /^\/d\/none: nothing is there\n\n0 +upper/);
    };
    for (const driver of [kernel, plyfs]) await changed(own, 'echo y >> d/f', { driver, whileMounted });
    const outside = await tool(['inspect', own.lower]);
    assert.match(
      outside.stderr,
      /^plyfs: '.*' is on no overlay mount; name its layers with --lower and --upper\.\n$/,
    );
  });
});
