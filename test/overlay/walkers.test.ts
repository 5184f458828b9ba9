import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { Walkers } from '../../src/overlay/walkers.js';

const WALKER = 7;

describe('callers that get attributes with listed names', () => {
  it('none before it has looked up a listed name', () => {
    const walkers = new Walkers();
    assert.equal(walkers.wantsAttributes(WALKER), false);
    walkers.gaveBare(WALKER, 100);
    assert.equal(walkers.wantsAttributes(WALKER), false);
  });

  it('one that looks up more than a quarter of the names', () => {
    const walkers = new Walkers();
    walkers.gaveBare(WALKER, 8);
    walkers.lookedUp(WALKER);
    walkers.lookedUp(WALKER);
    assert.equal(walkers.wantsAttributes(WALKER), false);
    walkers.lookedUp(WALKER);
    assert.equal(walkers.wantsAttributes(WALKER), true);
    assert.equal(walkers.wantsAttributes(WALKER + 1), false);
  });

  it('one that looks up what another one has listed', () => {
    const walkers = new Walkers();
    walkers.gaveBare(WALKER, 100);
    walkers.lookedUp(WALKER + 1);
    assert.equal(walkers.wantsAttributes(WALKER), false);
    assert.equal(walkers.wantsAttributes(WALKER + 1), true);
  });

  it('remembers a bounded number of callers, the latest', () => {
    const walkers = new Walkers();
    for (let pid = 1; pid <= 1000; pid++) walkers.lookedUp(pid);
    assert.equal(walkers.wantsAttributes(1), false);
    assert.equal(walkers.wantsAttributes(1000), true);
  });
});
