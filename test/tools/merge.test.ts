/** `plyfs merge`, `plyfs squash` and applying an upper: each produces the view of a kernel mount of the layers. */
import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { apply } from '../../src/tools/apply.js';
import { merge } from '../../src/tools/merge.js';
import { squash } from '../../src/tools/squash.js';
import { kernel } from '../support/drivers.js';
import { isRoot, Scratch } from '../support/scratch.js';
import { difference, type Snapshot, snapshot } from '../support/snapshot.js';
import { missingTools } from '../support/table.js';
import { cannotMount, changed, type Dirs, shell, stackDirs, tool } from './support.js';

const BOTTOM = `mkdir -p a/deep gone keep acl; for i in 1 2 3 4; do echo $i > a/$i; done; echo d > a/deep/d; echo g > gone/g
echo k > keep/k; ln keep/k keep/hard; ln -s k keep/sym; truncate -s 1M keep/sparse; echo x >> keep/sparse; mkfifo keep/p
setfacl -d -m u:7:rwx acl; echo i > acl/inherits; chmod 0555 keep; touch file; cp /bin/true cap; setcap cap_net_raw+ep cap`;
const MIDDLE =
  'rm a/1; echo two > a/2; rm -r gone; mkdir gone; echo new > gone/new; rm -r a/deep; echo f > a/deep; rm file; mkdir file; echo in > file/in';
const TOP =
  'rm a/deep; mkdir a/deep; echo again > a/deep/x; rm a/2; chmod 600 a/3; rm gone/new; echo u > acl/u; touch -d 2001-01-01 a gone . acl file a/deep';

describe('applying an upper', () => {
  const scratch = new Scratch();
  after(() => scratch.dispose());

  it('recognizes whiteouts and opaque marks in every form', async (t) => {
    if (!isRoot) return t.skip('sets trusted xattrs and makes device nodes as root');
    if ((await missingTools(['setfattr'])).length > 0) return t.skip('not installed: setfattr');
    const [upper, lower] = [scratch.directory('forms'), scratch.directory('lower')];
    await shell(`cd ${lower}; for f in chardev xattr aufs -aufs kept; do echo old > ./$f; done
      for d in o1 o2 o3 merged; do mkdir $d; echo old > $d/old; done
      cd ${upper}; mknod chardev c 0 0; touch xattr .wh.aufs .wh.-aufs .wh.. .wh... .wh. empty; echo new > ./-aufs
      setfattr -n trusted.overlay.whiteout -v y xattr
      for d in o1 o2 o3 merged; do mkdir $d; echo new > $d/new; done
      setfattr -n trusted.overlay.opaque -v y o1; setfattr -n user.fuseoverlayfs.opaque -v y o2
      touch o3/.wh..wh..opq; mkdir .wh..wh.plnk`);
    apply({ upper, to: lower });
    const left = (await shell(`cd ${lower}; find . -type f | sort`))
      .split('\n')
      .filter((line) => line !== '');
    const expected = ['-aufs', 'empty', 'kept', 'merged/new', 'merged/old', 'o1/new', 'o2/new', 'o3/new'];
    assert.deepEqual(
      left,
      expected.map((name) => `./${name}`),
    );
    assert.equal(await shell(`cat ${lower}/-aufs`), 'new\n');
    assert.equal(await shell(`ls -A ${lower} | grep -c '^[.]' || true`), '0\n');
  });

  it('leaves nothing incomplete on a full disk', async (t) => {
    if (!isRoot) return t.skip('mounts a small tmpfs as root');
    const [upper, small] = [scratch.directory('large'), scratch.directory('small')];
    await shell(
      `mount -t tmpfs -o size=1M none ${small}; echo old >${small}/f; head -c 2M /dev/zero >${upper}/f`,
    );
    try {
      assert.throws(() => apply({ upper, to: small }), /can't copy 'f': no space is left/);
      assert.equal(await shell(`ls -A ${small}; cat ${small}/f`), 'f\nold\n');
    } finally {
      await shell(`umount ${small}`);
    }
  });
});

describe('plyfs merge and squash', () => {
  const scratch = new Scratch();
  let reason: string | null = null;
  let bottom: string;
  let middle: string;
  let top: Dirs;
  before(async () => {
    reason = await cannotMount();
    const missing = await missingTools(['setfacl', 'setcap']);
    if (missing.length > 0) reason ??= `not installed: ${missing.join(', ')}`;
    if (reason !== null) return;
    const first = stackDirs(scratch);
    await shell(`cd ${first.lower}\n${BOTTOM}`);
    await changed(first, MIDDLE);
    [bottom, middle] = [first.lower, first.upper];
    top = stackDirs(scratch);
    await changedOver([middle, bottom], TOP);
  });
  after(() => scratch.dispose());

  async function changedOver(lower: string[], script: string): Promise<void> {
    const mounted = await kernel.mount({ lower, upper: top.upper, work: top.work }, top.merged);
    try {
      await shell(`cd ${top.merged}\n${script}`);
    } finally {
      await mounted.unmount();
    }
  }

  async function viewOf(lower: readonly string[]): Promise<Snapshot> {
    const empty = scratch.directory('empty');
    const mounted = await kernel.mount({ lower: [...lower, empty], upper: null, work: null }, top.merged);
    try {
      return plain(top.merged);
    } finally {
      await mounted.unmount();
    }
  }

  function plain(directory: string): Snapshot {
    return snapshot(directory, { now: Number.MAX_SAFE_INTEGER, view: 'layer' });
  }

  it('merge makes one plain directory', async (t) => {
    if (reason !== null) return t.skip(reason);
    const output = `${scratch.path}/flat`;
    const args = ['merge', output, '--upper', top.upper, '--lower', middle, '--lower', bottom];
    assert.match((await tool(args)).stdout, /^\d+ objects, 1\.\d MiB\n$/);
    assert.deepEqual(difference(await viewOf([top.upper, middle, bottom]), plain(output)), []);
    assert.ok(Number(await shell(`du -k ${output}/keep/sparse | cut -f1`)) < 64);
    const again = await tool(args);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /^plyfs: '.*flat' is there and no empty directory; name a new one\.\n$/);
    assert.equal(await shell(`ls -A ${scratch.path} | grep -c tmp || true`), '0\n');
  });

  it('squash makes one layer with the same effect as its parts', async (t) => {
    if (reason !== null) return t.skip(reason);
    const whole = await viewOf([top.upper, middle, bottom]);
    const [two, all] = [`${scratch.path}/two`, `${scratch.path}/all`];
    squash({ layers: [top.upper, middle], output: two });
    assert.deepEqual(difference(whole, await viewOf([two, bottom])), []);
    const other = scratch.directory('other');
    await shell(
      `cd ${other}; mkdir -p a gone file keep; echo o > a/1; echo o > gone/o; echo o > file/o; echo o > keep/o`,
    );
    assert.equal((await tool(['squash', all, top.upper, middle, bottom])).code, 0);
    assert.deepEqual(
      difference(await viewOf([top.upper, middle, bottom, other]), await viewOf([all, other])),
      [],
    );
  });

  it('refuses what one layer can not express, and leaves nothing', async (t) => {
    if (reason !== null) return t.skip(reason);
    const own = stackDirs(scratch);
    await shell(`cd ${own.lower}; mkdir d; echo x > d/x`);
    await changed(own, 'mv d e', { options: ['redirect_dir=on'] });
    const output = `${scratch.path}/none`;
    assert.throws(
      () => squash({ layers: [own.upper], output }),
      /'e' has a part on a lower layer by trusted\.overlay\.redirect/,
    );
    assert.equal(existsSync(output), false);
    merge({ lower: [own.lower], upper: own.upper, output });
    assert.equal(await shell(`cat ${output}/e/x`), 'x\n');
  });

  it('squash leaves no descriptor open when a part can not be entered', async (t) => {
    if (reason !== null) return t.skip(reason);
    const [one, two] = [scratch.directory('one'), scratch.directory('two')];
    await shell(`mkdir ${one}/d ${two}/d; mount -t tmpfs none ${two}/d`);
    try {
      const before = readdirSync('/proc/self/fd').length;
      assert.throws(
        () => squash({ layers: [one, two], output: `${scratch.path}/squashed` }),
        /can't open 'd'/,
      );
      assert.equal(readdirSync('/proc/self/fd').length, before);
    } finally {
      await shell(`umount ${two}/d`);
    }
  });

  it('an upper is applied to a copy of its lower', async (t) => {
    if (reason !== null) return t.skip(reason);
    const copy = `${scratch.path}/copy`;
    mkdirSync(copy);
    await shell(`cp -a ${bottom}/. ${copy}`);
    apply({ upper: middle, to: copy });
    const expected = await viewOf([middle, bottom]);
    // A directory that is changed in place keeps its time.
    const named = (all: Snapshot): Snapshot =>
      Object.fromEntries(
        Object.entries(all).map(([p, line]) => [p, line.replace(/^(dir.*) mtime=\S+/, '$1')]),
      );
    assert.deepEqual(difference(named(expected), named(plain(copy))), []);
  });
});
