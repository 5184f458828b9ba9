/** Immutable and append-only objects, from layers and made so through the mount. */
import assert from 'node:assert/strict';
import { describe, it, type TestContext } from 'node:test';
import { type Driver, kernel, plyfs } from '../support/drivers.js';
import { must, run } from '../support/exec.js';
import { Fixture } from '../support/fixture.js';
import { Scratch } from '../support/scratch.js';

const LOWER = ['put i text', 'put a text', 'put d/f x', 'dir d/z', 'put p/f x', 'put free x', 'dir e'];

/** As `step => result`. */
const LOWER_STEPS = [
  'add i x => EPERM',
  'unlink i => EPERM',
  'rename i j => EPERM',
  'chmod i 600 => EPERM',
  'chown i 1:1 => EPERM',
  'utimens i now now => EPERM',
  'link i k => EPERM',
  'setxattr i user.a b => EPERM',
  'removexattr i user.a => EPERM',
  'truncate i 0 => EPERM',
  'cat i => "text"',
  'put d/new x => EPERM',
  'mkdir d/new => EPERM',
  'symlink x d/new => EPERM',
  'link free d/new => EPERM',
  'rename free d/new => EPERM',
  'unlink d/f => EPERM',
  'rename d/f f => EPERM',
  'rename free d/f => EPERM',
  'rename free d/f EXCHANGE => EPERM',
  'rename free d/f NOREPLACE => EEXIST',
  'open t d RDWR|TMPFILE => EPERM',
  'rmdir d/z => EPERM',
  'chmod d 700 => EPERM',
  'setxattr d user.a b => EPERM',
  'list . => "a" "d" "e" "free" "i" "p"',
  // Objects in an immutable directory may change; the directory's copy is immutable, too.
  'add d/f y => 1',
  'put d/z/new x => 1',
  'put d/new x => EPERM',
  'unlink d/f => EPERM',
  'add a more => 4',
  'cat a => "textmore"',
  'truncate a 0 => EPERM',
  'put a over => EPERM',
  'chmod a 600 => EPERM',
  'utimens a now now => ok',
  'utimens a 1 2 => EPERM',
  'unlink a => EPERM',
  'put p/new x => 1',
  'mkdir p/sub => ok',
  'unlink p/new => EPERM',
  'rmdir p/sub => EPERM',
  'rename p/f f => EPERM',
  'rename free p/g => ok',
];

/** Where the flags are real ones. */
const UPPER_STEPS = [
  'add i x => EPERM',
  'truncate i 0 => EPERM',
  'unlink i => EPERM',
  'cat i => "text"',
  'add a more => 4',
  'cat a => "textmore"',
  'open f a WRONLY|APPEND => ok',
  'append f + => 1',
  'fallocate f KEEP_SIZE 0 4096 => ok',
  'close f => ok',
  'cat a => "textmore+"',
  'truncate a 0 => EPERM',
  'chmod a 600 => EPERM',
  'rename a b => EPERM',
  'put d/new x => 1',
  'mkdir d/sub => ok',
  'unlink d/new => EPERM',
];

const MADE = `chattr +i i; chattr +a a; chattr +i d; rm -f i 2>/dev/null || echo kept; lsattr -d i a d | cut -c1-6
chattr =d a; lsattr a | cut -c1-7; chattr -i i; rm i; chattr +a i 2>/dev/null || echo gone`;

/** The steps with their results. */
async function play(fixture: Fixture, steps: readonly string[]): Promise<void> {
  const parts = steps.map((line) => line.split(' => '));
  const reports = await fixture.steps(parts.map(([step = '']) => step));
  assert.deepEqual(
    reports.map((report, i) => `${parts[i]![0]} => ${report.result}`),
    steps,
  );
}

async function withFixture(
  t: TestContext,
  driver: Driver,
  use: (fixture: Fixture) => Promise<void>,
): Promise<void> {
  const reason = await driver.unavailable();
  if (reason !== null) return t.skip(reason);
  const scratch = new Scratch();
  const fixture = new Fixture(scratch, driver, { lower: [LOWER] });
  const [lower = ''] = fixture.lower;
  try {
    if ((await run('chattr', ['+i', `${lower}/i`])).code !== 0) return t.skip('no chattr here');
    await use(fixture);
  } finally {
    await fixture.dispose();
    await run('chattr', ['-R', '-f', '-ia', lower, fixture.upperDir!]);
    scratch.dispose();
  }
}

for (const driver of [kernel, plyfs]) {
  describe(`immutable and append-only on ${driver.name}`, () => {
    it('of a lower layer', (t) =>
      withFixture(t, driver, async (fixture) => {
        const [lower = ''] = fixture.lower;
        await must('chattr', ['+i', `${lower}/d`]);
        await must('chattr', ['+a', `${lower}/a`, `${lower}/p`]);
        await fixture.mount();
        await play(fixture, LOWER_STEPS);
        const upper = fixture.upper();
        for (const [name, mark] of Object.entries({ a: '"a"', d: '"i"', p: '"a"' })) {
          assert.match(upper[name] ?? '', new RegExp(`trusted.overlay.protattr=${mark}`), name);
        }
        // A later mount that finds the copies knows it, too.
        await fixture.unmount();
        await fixture.mountAgain(driver === plyfs ? kernel : plyfs);
        await play(fixture, [
          'unlink a => EPERM',
          'put d/new x => EPERM',
          'unlink p/new => EPERM',
          'add a z => 1',
        ]);
        assert.deepEqual(fixture.lowerChanges(), []);
      }));

    it('of upper', (t) =>
      withFixture(t, driver, async (fixture) => {
        const upper = fixture.upperDir!;
        await must('sh', ['-c', 'printf text | tee i >a; mkdir d; chattr +i i; chattr +a a d'], {
          cwd: upper,
        });
        await fixture.mount();
        await play(fixture, UPPER_STEPS);
        // The kernel refuses to clear a flag that is a real one.
        if (driver === kernel) return;
        await must('chattr', ['-a', 'a'], { cwd: fixture.merged });
        await play(fixture, [
          'open f a WRONLY => ok',
          'write f 0 TEXT => 4',
          'close f => ok',
          'cat a => "TEXTmore+"',
        ]);
      }));

    it('changing the flags changes the ctime', (t) =>
      withFixture(t, driver, async (fixture) => {
        await fixture.mount();
        const { stdout } = await fixture.sh(`chattr +a a; before=$(stat -c %z a); sleep 0.1
          chattr -a a; after=$(stat -c %z a); [ "$before" = "$after" ] || echo changed`);
        assert.equal(stdout, 'changed\n');
      }));

    it('other flags are copied up', (t) =>
      withFixture(t, driver, async (fixture) => {
        const [lower = ''] = fixture.lower;
        if ((await run('chattr', ['+A', `${lower}/free`, `${lower}/e`])).code !== 0)
          return t.skip('no chattr +A');
        await fixture.mount();
        await play(fixture, ['add free y => 1', 'put e/new x => 1', 'add p/f y => 1']);
        const flags = await must('lsattr', ['-d', 'free', 'e', 'p', 'p/f'], {
          cwd: fixture.upperDir!,
        });
        assert.deepEqual(
          flags
            .trim()
            .split('\n')
            .map((line) => `${line.slice(7, 8)} ${line.split(' ').at(-1)}`),
          ['A free', 'A e', '- p', '- p/f'],
        );
      }));

    it('can be set and cleared through the mount', (t) =>
      withFixture(t, driver, async (fixture) => {
        await must('chattr', ['-i', `${fixture.lower[0]}/i`]);
        await fixture.mount();
        const result = await fixture.sh(MADE);
        assert.equal(result.stdout, 'kept\n----i-\n-----a\n----i-\n------d\ngone\n', result.stderr);
        assert.equal(result.stderr, '');
        assert.match(fixture.upper()['d'] ?? '', /trusted.overlay.protattr="i"/);
        assert.doesNotMatch(fixture.upper()['a'] ?? '', /protattr/);
        assert.equal(
          (await must('lsattr', ['-d', `${fixture.upperDir}/d`])).slice(4, 5),
          '-',
          'no real flag',
        );
        await play(fixture, ['put d/new x => EPERM']);
      }));
  });
}

describe(`append-only on ${plyfs.name}, where such a file can be opened for writing`, () => {
  it('copy_file_range(2) overwrites nothing', (t) =>
    withFixture(t, plyfs, async (fixture) => {
      await must('chattr', ['+a', `${fixture.lower[0]}/a`]);
      await fixture.mount();
      await play(fixture, [
        'lazyopen from free => ok',
        'lazyopen to a WRONLY => ok',
        'copyrange from 0 to 0 1 => EPERM',
        'copyrange from 0 to 4 1 => EPERM',
        'cat a => "text"',
      ]);
      assert.deepEqual(fixture.lowerChanges(), []);
    }));
});
