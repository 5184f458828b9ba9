/** When the CPUs of callers are kept awake. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KeepAwake } from '../../src/session/keep-awake.js';

const SOME_FD = 3;
const CONVERSATION = 32;

/** What is wished for, in order. */
function recorder(fd = SOME_FD): {
  awake: KeepAwake;
  wishes: (number | null)[];
  requests: (n: number) => void;
} {
  const wishes: (number | null)[] = [];
  const awake = new KeepAwake(fd, (us) => wishes.push(us));
  const requests = (n: number): void => {
    for (let i = 0; i < n; i++) awake.request();
  };
  return { awake, wishes, requests };
}

describe('keeping CPUs awake', () => {
  it('begins with the 32nd request and is asked for once', () => {
    const { awake, wishes, requests } = recorder();
    requests(CONVERSATION - 1);
    assert.deepEqual(wishes, []);
    requests(100);
    assert.deepEqual(wishes, [0]);
    assert.ok(awake.on);
  });

  it('goes on over pauses between which something happens', () => {
    const { awake, wishes, requests } = recorder();
    requests(CONVERSATION);
    for (let i = 0; i < 20; i++) {
      awake.pause();
      requests(8);
    }
    assert.deepEqual(wishes, [0]);
  });

  it('ends when requests come one at a time, and must be earned anew', () => {
    const { awake, wishes, requests } = recorder();
    requests(CONVERSATION);
    for (let i = 0; i < 5; i++) {
      awake.pause();
      requests(1);
    }
    assert.deepEqual(wishes, [0, null]);
    requests(CONVERSATION - 2);
    assert.deepEqual(wishes, [0, null]);
    requests(1);
    assert.deepEqual(wishes, [0, null, 0]);
  });

  it('ends with silence, at once and once', () => {
    const { awake, wishes, requests } = recorder();
    requests(CONVERSATION);
    awake.release();
    awake.release();
    assert.deepEqual(wishes, [0, null]);
    assert.equal(awake.on, false);
  });

  it('never begins without the means', () => {
    const { awake, wishes, requests } = recorder(-1);
    requests(1000);
    awake.pause();
    awake.release();
    assert.deepEqual(wishes, []);
  });
});
