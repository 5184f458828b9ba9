/** The index directory when mounting with `index=on`: stale entries are removed, with nonsensical ones the mount is refused. */
import assert from 'node:assert/strict';
import { linkSync, mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import * as sys from '../../src/sys/index.js';
import { drivers } from '../support/drivers.js';
import { Fixture } from '../support/fixture.js';
import { Scratch } from '../support/scratch.js';

/** Header of an origin with a handle of 8 bytes, in hex. */
const HEADER = `00fb1d0001${'00'.repeat(16)}`;

interface Case {
  /** Puts something into the index, which already has one good entry. */
  readonly spoil: (index: string, upper: string, good: string) => void;
  /** The entries after the next mount: `good` stands for the good one; null: the mount is refused. */
  readonly left: readonly string[] | null;
}

const cases: Readonly<Record<string, Case>> = {
  'nothing wrong': { spoil: () => undefined, left: ['good'] },
  'a temporary file left by a crash': { spoil: (index) => writeFileSync(`${index}/#12`, ''), left: ['good'] },
  'a temporary directory': { spoil: (index) => void mkdirSync(`${index}/#13`), left: ['good'] },
  'an entry for another origin': {
    spoil: (index, _upper, good) => linkSync(`${index}/${good}`, `${index}/${HEADER}${'01'.repeat(8)}`),
    left: ['good'],
  },
  'an entry that is the last name of a file without an origin': {
    spoil: (index) => {
      const name = `${index}/${HEADER}${'02'.repeat(8)}`;
      writeFileSync(name, 'x');
      const origin = Buffer.from(`${HEADER}${'02'.repeat(8)}`, 'hex');
      assert.equal(sys.setxattr(sys.AT_FDCWD, name, 'trusted.overlay.origin', origin, origin.length), 0);
    },
    left: ['good'],
  },
  'an entry without an origin': {
    spoil: (index) => writeFileSync(`${index}/${HEADER}${'03'.repeat(8)}`, 'x'),
    left: null,
  },
  'a name that is not an origin': { spoil: (index) => writeFileSync(`${index}/garbage`, ''), left: null },
  'a name in hex that is not an origin': {
    spoil: (index) => writeFileSync(`${index}/${'ab'.repeat(29)}`, ''),
    left: null,
  },
};

for (const driver of drivers) {
  describe(`index directory on ${driver.name}`, () => {
    for (const [name, one] of Object.entries(cases)) {
      it(name, async (t) => {
        const reason = await driver.unavailable();
        if (reason !== null) return t.skip(reason);
        const scratch = new Scratch();
        const lower = [['put a x', 'link a b']];
        const fixture = new Fixture(scratch, driver, { lower, options: ['index=on'] });
        try {
          await fixture.mount();
          await fixture.steps(['add a y']);
          await fixture.unmount();
          const index = `${fixture.work}/index`;
          const [good = ''] = readdirSync(index);
          one.spoil(index, fixture.upperDir!, good);
          if (one.left === null) {
            await assert.rejects(fixture.mountAgain(driver));
            return;
          }
          await fixture.mountAgain(driver);
          const [report] = await fixture.steps(['cat b']);
          assert.equal(report?.result, '"xy"');
          await fixture.unmount();
          assert.deepEqual(
            readdirSync(index),
            one.left.map((entry) => (entry === 'good' ? good : entry)),
          );
        } finally {
          await fixture.dispose();
          scratch.dispose();
        }
      });
    }
  });
}

/** A mount of the layers of `fixture` with these options, in which `script` runs. */
async function lookAgain(fixture: Fixture, options: readonly string[], script: string): Promise<string> {
  const { driver, lower, merged } = fixture;
  const stack = { lower, upper: fixture.upperDir, work: fixture.work, options };
  const mounted = await driver.mount(stack, merged);
  try {
    return (await fixture.sh(script)).stdout;
  } finally {
    await mounted.unmount();
  }
}

for (const driver of drivers) {
  describe(`read-only mount with an index on ${driver.name}`, () => {
    it('shows hard links as they are, and writes nothing', async (t) => {
      const reason = await driver.unavailable();
      if (reason !== null) return t.skip(reason);
      const scratch = new Scratch();
      const lower = [['put a x', 'link a b', 'link a c']];
      const fixture = new Fixture(scratch, driver, { lower, options: ['index=on'] });
      try {
        await fixture.mount();
        await fixture.steps(['add a y', 'unlink c']);
        await fixture.unmount();
        const look =
          'cat a b; stat -c %h a b; test a -ef b && echo same; touch b 2>/dev/null || echo refused';
        const left = fixture.upper();
        assert.equal(await lookAgain(fixture, ['ro', 'index=on'], look), 'xyxy2\n2\nsame\nrefused\n');
        assert.deepEqual(fixture.upper(), left);
        assert.equal(await lookAgain(fixture, ['ro', 'index=off'], 'cat b'), 'x');
      } finally {
        await fixture.dispose();
        scratch.dispose();
      }
    });
  });
}
