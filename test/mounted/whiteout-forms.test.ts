/**
 * Whiteouts and opaque marks in other forms than the kernel's default: written if an option says so, and read in any layer. What
 * callers see must not depend on the form.
 */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { before, describe, it } from 'node:test';
import { kernel, plyfs } from '../support/drivers.js';
import { run } from '../support/exec.js';
import { Fixture, type Layers } from '../support/fixture.js';
import { Scratch } from '../support/scratch.js';
import type { Snapshot } from '../support/snapshot.js';
import { lacking } from '../support/table.js';

const reason = await plyfs.unavailable();

async function withFixture<T>(layers: Layers, use: (fixture: Fixture) => Promise<T>): Promise<T> {
  const scratch = new Scratch();
  const fixture = new Fixture(scratch, plyfs, layers);
  try {
    await fixture.mount();
    return await use(fixture);
  } finally {
    await fixture.dispose();
    scratch.dispose();
  }
}

const lower = [
  [
    'put a x',
    'put b x',
    'put c x',
    'put d/1 x',
    'put d/2 x',
    'put e/1 x',
    'put f/1 x',
    'put g/1 x',
    'put h x',
    'put i x',
    'dir j',
    'put k/1 x',
    'put l x',
  ],
];

/** Every operation that writes, replaces or removes a whiteout. */
const steps = [
  'unlink a',
  'add b y',
  'unlink b',
  'rename c c2',
  'unlink d/1',
  'put d/new x',
  'unlink d/new',
  'list d',
  'unlink d/2',
  'rmdir d',
  'stat d',
  'unlink e/1',
  'put e/2 x',
  'unlink e/2',
  'rmdir e',
  'mkdir e',
  'list e',
  'put e/1 again',
  'unlink e/1',
  'rmdir e',
  'mkdir e',
  'put a again',
  'mkdir b',
  'symlink x c',
  'unlink c',
  'link h c',
  'rename h h2',
  'rename i h',
  'mkdir new',
  'put new/1 x',
  'unlink f/1',
  'rmdir f',
  'rename new f',
  'list f',
  'rename f f2',
  'mkdir f',
  'list f',
  'mkdir full',
  'unlink g/1',
  'put g/2 x',
  'unlink g/2',
  'rename full g',
  'list g',
  'unlink l',
  'mkdir dir2',
  'rename dir2 l',
  'list l',
  'rmdir l',
  'stat l',
  'mkdir .wh.x',
  'put .wh.y x',
  'unlink k/1',
  'mkdir k/1',
  'rename k/1 k/2',
  'list k',
  'list .',
];

interface Outcome {
  readonly results: readonly string[];
  readonly view: Snapshot;
  readonly again: Snapshot;
  readonly upper: Snapshot;
  /** The upper as a lower layer under the kernel, which lists xattr whiteouts where they are on upper. */
  readonly crossed: Snapshot;
}

async function perform(form: string): Promise<Outcome> {
  return withFixture({ lower, options: [`whiteout=${form}`] }, async (fixture) => {
    const results = (await fixture.steps(steps)).map((report) => report.result);
    const view = await fixture.view();
    await fixture.unmount();
    assert.ok(fixture.leftovers().length <= 1, `left in work: ${fixture.leftovers()}`);
    assert.deepEqual(fixture.lowerChanges(), []);
    const upper = fixture.upper();
    await fixture.mountAgain(plyfs);
    const again = await fixture.view();
    await fixture.unmount();
    const crossed = (await kernel.unavailable()) === null ? await underKernel(fixture) : {};
    return { results, view, again, upper, crossed };
  });
}

async function underKernel(fixture: Fixture): Promise<Snapshot> {
  const { lower: lowers, upperDir, merged } = fixture;
  const mounted = await kernel.mount({ lower: [upperDir!, ...lowers], upper: null, work: null }, merged);
  try {
    return await fixture.view();
  } finally {
    await mounted.unmount();
  }
}

describe('forms of whiteouts, written', () => {
  let expected: Outcome;
  before(async () => {
    if (reason === null) expected = await perform('chardev');
  });
  for (const form of ['xattr', 'aufs']) {
    it(`whiteout=${form}: callers see the same as with device nodes`, async (t) => {
      if (reason !== null) return t.skip(reason);
      const outcome = await perform(form);
      steps.forEach((step, i) => {
        assert.equal(outcome.results[i], expected.results[i], step);
      });
      assert.deepEqual(outcome.view, expected.view);
      assert.deepEqual(outcome.again, expected.again);
      const lines = Object.entries(outcome.upper);
      assert.deepEqual(
        lines.filter(([, line]) => line.startsWith('whiteout')),
        [],
        'device nodes on upper',
      );
      if (form === 'aufs') {
        assert.ok('.wh.d' in outcome.upper);
        assert.ok('e/.wh..wh..opq' in outcome.upper);
        assert.ok(!('.wh.a' in outcome.upper), 'a whiteout stayed beside what took its place');
      } else {
        assert.match(outcome.upper['d'] ?? '', /^file .*trusted\.overlay\.whiteout="y"/);
        assert.match(outcome.upper['.'] ?? '', /trusted\.overlay\.opaque="x"/);
        if ((await kernel.unavailable()) === null) assert.deepEqual(outcome.crossed, expected.crossed);
      }
    });
  }
});

interface Reading {
  readonly lower: readonly (readonly string[])[];
  readonly upper?: readonly string[];
  readonly options?: readonly string[];
  /** As `step => result`. */
  readonly steps: readonly string[];
}

const readings: Readonly<Record<string, Reading>> = {
  'a .wh. file in a lower layer': {
    lower: [
      ['put .wh.a ""', 'put d/.wh.b ""', 'put only/.wh.c ""'],
      ['put a x', 'put d/b x', 'put d/c x'],
    ],
    steps: [
      'list . => "d" "only"',
      'stat a => ENOENT',
      'list d => "c"',
      'stat d/b => ENOENT',
      'list only => ',
      'stat .wh.a => ENOENT',
      'put a new => 3',
      'cat a => "new"',
      'unlink a => ok',
      'stat a => ENOENT',
      'rmdir only => ok',
    ],
  },
  'a .wh. file beside a file, a directory, an empty directory': {
    lower: [
      ['put .wh.f ""', 'put f top', 'put .wh.d ""', 'put d/1 x', 'put .wh.e ""', 'dir e'],
      ['put f low', 'put d/2 x', 'put e/1 x'],
    ],
    steps: [
      'cat f => "top"',
      'list d => "1"',
      'list e => ',
      'add f x => 1',
      'unlink f => ok',
      'stat f => ENOENT',
      'unlink d/1 => ok',
      'rmdir d => ok',
      'mkdir d => ok',
      'list d => ',
    ],
  },
  'a .wh. file in upper': {
    lower: [['put a x', 'put b/1 x', 'put c x', 'put d/1 x']],
    upper: [
      'put .wh.a ""',
      'put .wh.b ""',
      'put .wh.c ""',
      'put c top',
      'put .wh.d ""',
      'dir d',
      'put .wh.none ""',
    ],
    steps: [
      'list . => "c" "d"',
      'stat a => ENOENT',
      'cat c => "top"',
      'list d => ',
      'put a new => 3',
      'unlink a => ok',
      'stat a => ENOENT',
      'mkdir b => ok',
      'list b => ',
      'unlink c => ok',
      'stat c => ENOENT',
      'rmdir d => ok',
      'stat d => ENOENT',
      'mkdir d => ok',
      'list d => ',
      'rename b none => ok',
      'list none => ',
    ],
  },
  'an opaque directory marked as by AUFS and OCI': {
    lower: [
      ['put d/.wh..wh..opq ""', 'put d/top x', 'put e/.wh..wh..opq ""'],
      ['put d/low x', 'put e/low x', 'put f/low x'],
    ],
    upper: ['put f/.wh..wh..opq ""', 'put f/top x', 'put .wh..wh.plnk ""', 'put .wh..wh.aufs ""'],
    steps: [
      'list d => "top"',
      'stat d/low => ENOENT',
      'list e => ',
      'list f => "top"',
      'stat f/low => ENOENT',
      'put d/low new => 3',
      'cat d/low => "new"',
      'unlink d/low => ok',
      'stat d/low => ENOENT',
      'rmdir e => ok',
      'unlink f/top => ok',
      'rmdir f => ok',
      'stat f => ENOENT',
      'list . => "d"',
    ],
  },
  "fuse-overlayfs's opaque mark": {
    lower: [
      ['put d/top x', 'setxattr d user.fuseoverlayfs.opaque y'],
      ['put d/low x', 'put e/low x'],
    ],
    upper: ['dir e', 'setxattr e user.fuseoverlayfs.opaque y'],
    steps: ['list d => "top"', 'list e => ', 'put e/low x => 1', 'unlink e/low => ok', 'list e => '],
  },
  'an xattr whiteout in upper': {
    lower: [['put d/a low', 'put d/b low', 'put d/c low', 'put d/e/1 x']],
    upper: [
      'dir d',
      'setxattr d trusted.overlay.opaque x',
      'put d/a ""',
      'setxattr d/a trusted.overlay.whiteout y',
      'put d/b ""',
      'put d/e ""',
      'setxattr d/e trusted.overlay.whiteout y',
    ],
    steps: [
      'list d => "b" "c"',
      'stat d/a => ENOENT',
      'cat d/b => ""',
      'put d/a new => 3',
      'cat d/a => "new"',
      'unlink d/a => ok',
      'stat d/a => ENOENT',
      'mkdir d/e => ok',
      'list d/e => ',
      'rmdir d/e => ok',
      'link d/b d/a => ok',
      'rename d/c d/e => ok',
      'list d => "a" "b" "e"',
    ],
  },
  'wh=off: such names are ordinary names': {
    lower: [['put .wh.a ""'], ['put a x']],
    options: ['wh=off'],
    steps: ['list . => ".wh.a" "a"', 'put .wh.b x => 1', 'cat a => "x"'],
  },
};

function sorted(result: string): string {
  return result.startsWith('"') ? result.split(' ').sort().join(' ') : result;
}

describe('forms of whiteouts, read', () => {
  for (const [name, reading] of Object.entries(readings)) {
    it(name, async (t) => {
      if (reason !== null) return t.skip(reason);
      await withFixture(reading, async (fixture) => {
        const todo = reading.steps.map((line) => line.split(' => ')[0]!);
        const reports = await fixture.steps(todo);
        const done = reports.map((report, i) => `${todo[i]} => ${sorted(report.result)}`);
        assert.deepEqual(done, reading.steps);
        const view = await fixture.view();
        await fixture.unmount();
        assert.deepEqual(fixture.lowerChanges(), []);
        await fixture.mountAgain(plyfs);
        assert.deepEqual(await fixture.view(), view, 'mounted again');
      });
    });
  }
});

describe('an upper that can not hold device nodes', () => {
  it('gets xattr whiteouts by itself', async (t) => {
    const why = reason ?? (await lacking('getfattr'));
    if (why !== null) return t.skip(why);
    const scratch = new Scratch();
    const [base, work, outer, lowerDir, merged] = ['upper', 'work', 'outer', 'lower', 'merged'].map((name) =>
      scratch.directory(name),
    ) as [string, string, string, string, string];
    writeFileSync(`${lowerDir}/f`, 'x');
    // A mount of plyfs refuses whiteouts made by callers, as FUSE filesystems over a network do.
    const host = await plyfs.mount({ lower: [scratch.directory('empty')], upper: base, work }, outer);
    try {
      const made = await run('mkdir', [`${outer}/u`, `${outer}/w`]);
      assert.equal(made.code, 0, made.stderr);
      const stack = { lower: [lowerDir], upper: `${outer}/u`, work: `${outer}/w` };
      const inner = await plyfs.mount(stack, merged);
      const script = `cd '${merged}' && rm f && test ! -e f && mkdir f && mv f g && ls`;
      const result = await run('sh', ['-c', script], { onTimeout: inner.abort });
      await inner.unmount();
      assert.equal(result.stdout, 'g\n', result.stderr);
      const form = await run('getfattr', ['-d', '-m', 'trusted.overlay.whiteout', `${outer}/u/f`]);
      assert.match(form.stdout, /trusted\.overlay\.whiteout="y"/);
    } finally {
      await host.unmount();
      scratch.dispose();
    }
  });
});
