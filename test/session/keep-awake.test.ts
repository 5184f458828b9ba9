/** When the CPUs of callers are kept awake. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { KeepAwake, keepsAwake } from '../../src/session/keep-awake.js';

const SOME_FD = 3;
const CONVERSATION = 32;

/** The constraints that were set, in order. */
function recorder(fd = SOME_FD): {
  awake: KeepAwake;
  constraints: (number | null)[];
  requests: (n: number) => void;
} {
  const constraints: (number | null)[] = [];
  const awake = new KeepAwake(fd, (us) => constraints.push(us));
  const requests = (n: number): void => {
    for (let i = 0; i < n; i++) awake.request();
  };
  return { awake, constraints, requests };
}

describe('the choice of keeping CPUs awake', () => {
  for (const { mode, cpus, driver, is } of [
    { mode: 'auto', cpus: 2, driver: 'haltpoll', is: true },
    { mode: 'auto', cpus: 4, driver: 'haltpoll', is: true },
    { mode: 'auto', cpus: 5, driver: 'haltpoll', is: false },
    { mode: 'auto', cpus: 1, driver: 'haltpoll', is: false },
    { mode: 'auto', cpus: 2, driver: 'none', is: false },
    { mode: 'auto', cpus: 2, driver: 'intel_idle', is: false },
    { mode: 'on', cpus: 64, driver: 'intel_idle', is: true },
    { mode: 'on', cpus: 1, driver: 'intel_idle', is: false },
    { mode: 'off', cpus: 2, driver: 'haltpoll', is: false },
  ] as const) {
    it(`${mode} on ${cpus} with ${driver}: ${is}`, () => assert.equal(keepsAwake(mode, cpus, driver), is));
  }
});

describe('keeping CPUs awake', () => {
  it('begins with the 32nd request, with a single call', () => {
    const { awake, constraints, requests } = recorder();
    requests(CONVERSATION - 1);
    assert.deepEqual(constraints, []);
    requests(100);
    assert.deepEqual(constraints, [0]);
    assert.ok(awake.on);
  });

  it('continues over pauses as long as there are requests between them', () => {
    const { awake, constraints, requests } = recorder();
    requests(CONVERSATION);
    for (let i = 0; i < 20; i++) {
      awake.pause();
      requests(8);
    }
    assert.deepEqual(constraints, [0]);
  });

  it('ends when requests come one at a time, and then needs 32 requests again', () => {
    const { awake, constraints, requests } = recorder();
    requests(CONVERSATION);
    for (let i = 0; i < 5; i++) {
      awake.pause();
      requests(1);
    }
    assert.deepEqual(constraints, [0, null]);
    requests(CONVERSATION - 2);
    assert.deepEqual(constraints, [0, null]);
    requests(1);
    assert.deepEqual(constraints, [0, null, 0]);
  });

  it('ends at once without requests, with a single call', () => {
    const { awake, constraints, requests } = recorder();
    requests(CONVERSATION);
    awake.release();
    awake.release();
    assert.deepEqual(constraints, [0, null]);
    assert.equal(awake.on, false);
  });

  it('never begins where the device is not available', () => {
    const { awake, constraints, requests } = recorder(-1);
    requests(1000);
    awake.pause();
    awake.release();
    assert.deepEqual(constraints, []);
  });
});
