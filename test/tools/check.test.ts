/** `plyfs check`: each kind of damage is found, listed and repaired, and a kernel mount of the repaired layers is correct. */
import assert from 'node:assert/strict';
import { after, before, describe, it } from 'node:test';
import { type CheckOptions, type CheckResult, check } from '../../src/tools/check/check.js';
import { kernel, plyfs } from '../support/drivers.js';
import { fingerprint } from '../support/fixture.js';
import { Scratch } from '../support/scratch.js';
import { cannotMount, changed, type Dirs, shell, stackDirs, tool } from './support.js';

function codes({ findings }: CheckResult): string[] {
  return findings.map(({ code, path }) => `${code} ${path}`).sort();
}

const LOWER = 'mkdir -p a b c d; for i in a b c d; do echo $i > $i/f; done; echo one > one; echo two > two';

const DAMAGE = `
echo > .wh.two; touch a/.wh..wh..opq; mkdir .wh..wh.plnk
mknod nothing c 0 0
setfattr -n trusted.overlay.redirect -v x/y b; setfattr -n trusted.overlay.redirect -v /nowhere c
setfattr -n trusted.overlay.origin -v 0xff00 d; setfattr -n trusted.overlay.opaque -v 0 d
mkdir e; setfattr -n user.overlay.opaque -v y e
mkdir f; setfattr -n user.fuseoverlayfs.opaque -v y f
touch g; setfattr -n user.containers.override_stat -v 7:8:0600 g; setfattr -n user.containers.override_stat -v 0:0:755 .
mkdir h; touch h/x; setfattr -n trusted.overlay.whiteout -v y h/x
echo new > new`;

describe('plyfs check', () => {
  const scratch = new Scratch();
  let reason: string | null = null;
  before(async () => {
    reason = await cannotMount();
  });
  after(() => scratch.dispose());

  async function damaged(): Promise<[Dirs, CheckOptions]> {
    const dirs = stackDirs(scratch);
    await shell(`cd ${dirs.lower}\n${LOWER}\nmkdir f h; echo l > f/low; echo l > h/x`);
    await changed(dirs, 'for i in a b c d; do echo >> $i/f; done');
    await shell(`cd ${dirs.upper}\n${DAMAGE}\ntouch ${dirs.work}/work/left ${dirs.work}/work/behind`);
    return [dirs, { lower: [dirs.lower], upper: dirs.upper, work: dirs.work }];
  }

  const EXPECTED = [
    'aufs-opaque a/.wh..wh..opq',
    'aufs-reserved .wh..wh.plnk',
    'aufs-whiteout .wh.two',
    'bad-opaque d',
    'bad-origin d',
    'bad-redirect b',
    'dangling-redirect c',
    'foreign-opaque f',
    'foreign-owner g',
    'orphan-whiteout nothing',
    'stale-work work/behind',
    'stale-work work/left',
    'whiteout-form h/x',
    'wrong-namespace e',
  ];

  it('finds nothing in layers that real mounts left', async (t) => {
    if (reason !== null) return t.skip(reason);
    for (const driver of [kernel, plyfs]) {
      const dirs = stackDirs(scratch);
      await shell(`cd ${dirs.lower}\n${LOWER}`);
      await changed(dirs, 'rm one; mv a z; rm -r b; mkdir b; echo >> c/f; ln c/f c/g', {
        driver,
        options: ['redirect_dir=on', 'index=on'],
      });
      assert.deepEqual(
        codes(check({ lower: [dirs.lower], upper: dirs.upper, work: dirs.work })),
        [],
        driver.name,
      );
    }
  });

  it('lists every damage and changes nothing', async (t) => {
    if (reason !== null) return t.skip(reason);
    const [dirs, options] = await damaged();
    const untouched = fingerprint(dirs.upper);
    const result = check(options);
    assert.deepEqual(codes(result), EXPECTED);
    assert.ok(result.findings.every(({ repair }) => repair !== null));
    const args = ['check', '--lower', dirs.lower, '--upper', dirs.upper, '--work', dirs.work];
    const text = await tool(args);
    assert.equal(text.code, 4);
    assert.match(
      text.stdout,
      /: its redirect is a path that does not start at the root: nobody can look it up \[bad-redirect\]\n {4}repair: remove/,
    );
    assert.match(text.stdout, /\n14 found, 0 repaired, 14 left\n$/);
    assert.deepEqual(fingerprint(dirs.upper), untouched);
  });

  it('does not take an owner from an xattr in which the layer does not keep owners', async (t) => {
    if (reason !== null) return t.skip(reason);
    const lower = scratch.directory('lower');
    await shell(`cd ${lower}; touch f; setfattr -n user.containers.override_stat -v 0:0:4755 f; chown 7:8 f`);
    const before = fingerprint(lower);
    const result = check({ lower: [lower], repair: true });
    assert.deepEqual([codes(result), result.left], [['foreign-owner f'], 1]);
    assert.deepEqual(fingerprint(lower), before);
  });

  it('repairs them, so that a kernel mount shows what was meant', async (t) => {
    if (reason !== null) return t.skip(reason);
    const [dirs, options] = await damaged();
    const args = ['check', '--lower', dirs.lower, '--upper', dirs.upper, '--work', dirs.work];
    const text = await tool([...args, '--repair']);
    assert.match(text.stdout, /\n14 found, 14 repaired, 0 left\n$/);
    assert.equal(text.code, 1);
    assert.deepEqual(codes(check(options)), []);
    assert.equal((await tool(args)).code, 0);
    const mounted = await kernel.mount(
      { lower: [dirs.lower], upper: dirs.upper, work: dirs.work },
      dirs.merged,
    );
    try {
      const seen = await shell(
        `cd ${dirs.merged}; find . -mindepth 1 | sort | tr '\\n' ' '; stat -c '%u %g %a' g`,
      );
      assert.equal(seen, './a ./a/f ./b ./b/f ./c ./c/f ./d ./d/f ./e ./f ./g ./h ./new ./one 7 8 600\n');
    } finally {
      await mounted.unmount();
    }
  });

  it('checks an upper that is inside its lower', async (t) => {
    if (reason !== null) return t.skip(reason);
    const lower = scratch.directory('outer');
    await shell(
      `mkdir ${lower}/upper; echo f > ${lower}/f; mknod ${lower}/upper/f c 0 0; mknod ${lower}/upper/g c 0 0`,
    );
    const bottom = scratch.directory('bottom');
    await shell(
      `mkdir ${lower}/work; setfattr -n trusted.overlay.redirect -v x/y ${lower}/upper ${lower}/work`,
    );
    const inner = { lower: [lower, bottom], upper: `${lower}/upper`, work: `${lower}/work` };
    assert.deepEqual(codes(check(inner)), ['orphan-whiteout g']);
    // In another stack they are directories like all others.
    assert.ok(codes(check({ lower: [lower, bottom] })).includes('bad-redirect upper'));
    assert.throws(() => check({ lower: [`${lower}/upper`, lower] }), /must not be nested/);
  });

  it('finds lower directories that are visible twice, because one was renamed without a whiteout or copied', async (t) => {
    if (reason !== null) return t.skip(reason);
    const dirs = stackDirs(scratch);
    await shell(`cd ${dirs.lower}; mkdir -p a/c/d e; echo f > a/c/d/f`);
    const renames = 'mv a b; mkdir p; mv b/c p/c; mv p/c/d p/d; mv e g; mkdir e';
    await changed(dirs, renames, { options: ['redirect_dir=on'] });
    const options = { lower: [dirs.lower], upper: dirs.upper };
    const [redirect, origin, impure] = ['redirect', 'origin', 'impure'].map(
      (mark) => `trusted.overlay.${mark}`,
    );
    assert.deepEqual(codes(check(options)), []);
    await shell(`cd ${dirs.upper}; rm a b/c p/c/d; cp -a g h; setfattr -x trusted.overlay.opaque e`);
    assert.deepEqual(codes(check(options)), [
      'duplicate-redirect g',
      'duplicate-redirect h',
      'duplicate-redirect h',
      'uncovered-redirect a',
      'uncovered-redirect b/c',
      'uncovered-redirect p/c/d',
    ]);
    await shell(`cd ${dirs.upper}; setfattr -x ${redirect} h; setfattr -n trusted.overlay.opaque -v y e`);
    const repaired = check({ ...options, form: 'chardev', repair: true });
    assert.deepEqual([repaired.repaired, repaired.left], [3, 0]);
    assert.equal(
      await shell(`cd ${dirs.upper}; stat -c '%F %t:%T' a b/c p/c/d | uniq`),
      'character special file 0:0\n',
    );
    assert.deepEqual(codes(check(options)), []);
    await shell(
      `cd ${dirs.upper}; setfattr -x ${impure} p; setfattr -x ${origin} p/c; setfattr -x ${origin} p/d`,
    );
    assert.deepEqual(codes(check(options)), ['missing-impure p']);
    // The directory of the old name is not on upper: a repair would have to make it, too.
    await shell(`cd ${dirs.upper}; setfattr -n ${impure} -v y p; rm -r b; setfattr -x ${redirect} p/d; rm a`);
    assert.deepEqual(codes(check(options)), ['uncovered-redirect a/c']);
    assert.deepEqual(check(options).findings[0]!.repair, null);
  });

  it('converts whiteouts and opaque marks between all forms', async (t) => {
    if (reason !== null) return t.skip(reason);
    const dirs = stackDirs(scratch);
    await shell(`cd ${dirs.lower}\n${LOWER}`);
    await changed(dirs, 'rm one; rm a/f; rm -r b; mkdir b; echo new > b/new');
    const options = { lower: [dirs.lower], upper: dirs.upper, repair: true };
    assert.equal(check({ ...options, form: 'aufs' }).left, 0);
    assert.deepEqual(codes(check({ ...options, repair: false })), [
      'aufs-opaque b/.wh..wh..opq',
      'aufs-whiteout .wh.one',
      'aufs-whiteout a/.wh.f',
    ]);
    const names = await shell(`cd ${dirs.upper}; find . -name '.wh*' | sort | tr '\\n' ' '`);
    assert.equal(names, './.wh.one ./a/.wh.f ./b/.wh..wh..opq ');
    assert.equal(check({ ...options, form: 'xattr' }).left, 0);
    assert.equal(check({ ...options, form: 'xattr' }).findings.length, 0);
    const marked = 'trusted.overlay.opaque';
    await shell(`setfattr -x ${marked} ${dirs.upper}/a`);
    const asLower = { lower: [dirs.upper, dirs.lower] };
    assert.deepEqual(codes(check(asLower)), ['unmarked-whiteout a']);
    assert.equal(check({ ...asLower, repair: true }).left, 0);
    assert.equal(await shell(`getfattr --only-values -n ${marked} ${dirs.upper}/a`), 'x');
    const view = async (): Promise<string> => {
      const mounted = await kernel.mount(
        { lower: [dirs.upper, dirs.lower], upper: null, work: null },
        dirs.merged,
      );
      try {
        return await shell(
          `cd ${dirs.merged}; find . -mindepth 1 -not -path './[cd]*' | sort | tr '\\n' ' '`,
        );
      } finally {
        await mounted.unmount();
      }
    };
    const expected = './a ./b ./b/new ./two ';
    assert.equal(await view(), expected);
    assert.equal(check({ ...options, form: 'aufs' }).left, 0);
    assert.equal(check({ ...options, form: 'chardev' }).left, 0);
    assert.equal(
      await shell(`stat -c %F ${dirs.upper}/one ${dirs.upper}/a/f | uniq`),
      'character special file\n',
    );
    assert.equal(await view(), expected);
  });

  it('does not touch layers that are mounted or volatile, and does not leave the layer', async (t) => {
    if (reason !== null) return t.skip(reason);
    const dirs = stackDirs(scratch);
    await shell(`cd ${dirs.lower}\n${LOWER}`);
    const args = ['check', '--lower', dirs.lower, '--upper', dirs.upper, '--work', dirs.work, '--repair'];
    for (const driver of [kernel, plyfs]) {
      const whileMounted = async (): Promise<void> => {
        for (const words of [args, ['check', '--lower', dirs.lower, '--repair']]) {
          const { code, stderr } = await tool(words);
          assert.equal(code, 8, stderr);
          assert.match(stderr, /^plyfs: .* is in use by .*unmount that before a repair\.\n$/);
        }
      };
      await changed(dirs, 'true', { driver, whileMounted });
    }
    const odd = `${scratch.path}/a name`;
    const names = ['lower', 'upper', 'work', 'merged'].map((name) => `${odd}/${name}`);
    await shell(`mkdir -p '${names.join("' '")}'`);
    const [lower, upper, work, merged] = names as [string, string, string, string];
    const mounted = await kernel.mount({ lower: [lower], upper, work }, merged);
    try {
      for (const options of [{ lower: [lower] }, { lower: [], upper }, { lower: [], work }])
        assert.throws(() => check({ ...options, repair: true }), /is in use by the overlay mounted on/);
    } finally {
      await mounted.unmount();
    }
    await shell(
      `mkdir -p ${dirs.work}/work/incompat/volatile; touch ${dirs.work}/work/incompat/volatile/dirty`,
    );
    assert.equal((await tool(args)).code, 4);
    assert.equal((await tool([...args, '--forget-volatile'])).code, 1);
    assert.equal((await tool(['check', '--what'])).code, 16);
    await shell(
      `mkdir ${scratch.path}/out; touch ${scratch.path}/out/.wh.x; ln -s ../out ${dirs.lower}/out; ln -s ${scratch.path}/out ${dirs.lower}/out2`,
    );
    assert.equal(check({ lower: [dirs.lower], repair: true }).findings.length, 0);
  });
});
