/** Uppers that were changed without an overlay: what is still served, and how. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { kernel, plyfs } from '../support/drivers.js';
import { must } from '../support/exec.js';
import { Fixture } from '../support/fixture.js';
import { Scratch } from '../support/scratch.js';

for (const driver of [kernel, plyfs]) {
  describe(`offline changes on ${driver.name}`, () => {
    for (const index of ['off', 'on']) {
      it(`a copy of an upper file with its origin: the one found first has it (index=${index})`, async (t) => {
        const reason = await driver.unavailable();
        if (reason !== null) return t.skip(reason);
        const scratch = new Scratch();
        const lower = [['put a x', 'put d/b x', 'link d/b d/c']];
        const fixture = new Fixture(scratch, driver, { lower, options: [`index=${index}`] });
        try {
          await fixture.mount();
          await fixture.sh('echo y >>a; echo y >>d/b');
          await fixture.unmount();
          const upper = fixture.upperDir!;
          await must('cp', ['--preserve=all', `${upper}/a`, `${upper}/twin`]);
          await must('cp', ['--preserve=all', `${upper}/d/b`, `${upper}/d/twin`]);
          await fixture.mountAgain(driver);
          // The first one stays open: the kernel may forget unused ones, and then any of them may be the first.
          const look =
            'exec 3<twin; cat twin; cat a; cat twin; stat -c %h d/twin d/b d/c; test d/twin -ef d/b || echo other';
          const result = await fixture.sh(look);
          assert.equal(
            `${result.stdout}${result.stderr}`.replaceAll("'", ''),
            `xy\nxy\n${index === 'on' ? '1\n2\n2\n' : '1\n1\n2\n'}other\ncat: a: Stale file handle\n`,
          );
        } finally {
          await fixture.dispose();
          scratch.dispose();
        }
      });
    }
  });
}
