/** How long the session thread looks for a request before it sleeps. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Spin } from '../../src/session/spin.js';

const NOTHING = -11;

/** Looks until patience ends; returns how often it looked. */
function looksInVain(spin: Spin): number {
  let looks = 0;
  assert.equal(
    spin.until(NOTHING, () => {
      looks++;
      return NOTHING;
    }),
    NOTHING,
  );
  return looks;
}

describe('spin', () => {
  it('returns what a look found, at once', () => {
    let looks = 0;
    assert.equal(
      new Spin(true).until(NOTHING, () => (++looks === 3 ? 44 : NOTHING)),
      44,
    );
    assert.equal(looks, 3);
  });

  it('after 8 tries in vain, rests for 64 sleeps and then tries once', () => {
    const spin = new Spin(true);
    for (let i = 0; i < 8; i++) assert.ok(looksInVain(spin) > 0);
    for (let i = 0; i < 64; i++) assert.equal(looksInVain(spin), 0);
    assert.ok(looksInVain(spin) > 0);
    assert.equal(looksInVain(spin), 0);
  });

  it('goes on as long as half of its tries succeed', () => {
    const spin = new Spin(true);
    for (let i = 0; i < 100; i++) {
      assert.ok(looksInVain(spin) > 0);
      assert.equal(
        spin.until(NOTHING, () => 44),
        44,
      );
    }
  });

  it('never looks on one CPU', () => assert.equal(looksInVain(new Spin(false)), 0));
});
