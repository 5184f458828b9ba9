/** A short run of random scenarios, the same on every machine that is not slow; the long one is `npm run oracle`. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { kernel, plyfs } from '../support/drivers.js';
import { pendingOptions } from './known-differences.js';
import { describeFinding, random } from './random.js';

it('random scenarios do not differ', async (t) => {
  const reason = (await kernel.unavailable()) ?? (await plyfs.unavailable());
  if (reason !== null) return t.skip(reason);
  const result = await random(
    { kernel, plyfs },
    { seed: 1, milliseconds: 60_000, scenarios: 240, most: 3, without: pendingOptions },
  );
  t.diagnostic(`${result.scenarios} scenarios`);
  assert.deepEqual(result.problems, []);
  assert.equal(result.findings.length, 0, result.findings.map(describeFinding).join('\n\n'));
});
