/** Metacopies where they are switched off: what holds no data must not be read as holes. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { drivers } from '../support/drivers.js';
import { Fixture } from '../support/fixture.js';
import { Scratch } from '../support/scratch.js';

function hollow(path: string): string[] {
  return [`put ${path} ""`, `truncate ${path} 6`, `setxattr ${path} trusted.overlay.metacopy ""`];
}

for (const driver of drivers) {
  describe(`metacopy=off on ${driver.name}`, () => {
    it('refuses metacopies, on any layer, and nothing else', async (t) => {
      const reason = await driver.unavailable();
      if (reason !== null) return t.skip(reason);
      const scratch = new Scratch();
      const fixture = new Fixture(scratch, driver, {
        upper: [...hollow('covers'), ...hollow('alone'), ...hollow('d/covers'), 'put plain x'],
        lower: [
          ['put covers bottom', ...hollow('low'), 'put d/covers bottom'],
          ['put low bottom', 'put other x'],
        ],
      });
      try {
        await fixture.mount();
        const steps = {
          'stat covers': 'EPERM',
          'cat covers': 'EPERM',
          'add covers x': 'EPERM',
          'stat covers type': 'EPERM',
          'stat alone': 'EPERM',
          'stat d/covers': 'EPERM',
          'stat low': 'EPERM',
          'unlink low': 'EPERM',
          'cat plain': '"x"',
          'cat other': '"x"',
        };
        const reports = await fixture.steps(Object.keys(steps));
        assert.deepEqual(
          reports.map((report) => report.result),
          Object.values(steps),
        );
      } finally {
        await fixture.dispose();
        scratch.dispose();
      }
    });
  });
}
