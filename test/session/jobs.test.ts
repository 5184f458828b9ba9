/** Jobs on helper threads, and without them. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { Worker } from 'node:worker_threads';
import { Counters } from '../../src/session/counters.js';
import { HelperJobs, type StartHelper } from '../../src/session/jobs.js';
import * as sys from '../../src/sys/index.js';
import type { Log } from '../../src/vfs/log.js';
import { until } from '../support/exec.js';

/** Starts a copy, waits for its end with turns of the event loop, and returns its result and the copy. */
async function copyBy(start?: StartHelper): Promise<{ result: number; text: string; logged: string[] }> {
  const directory = mkdtempSync(join(tmpdir(), 'plyfs-jobs-'));
  const logged: string[] = [];
  const keep = (_fields: object, text: string): void => void logged.push(text);
  const log: Log = { debug: keep, info: keep, warn: keep, error: keep };
  const jobs = new HelperJobs(new Counters(), log, start);
  writeFileSync(`${directory}/from`, 'some data');
  const from = openSync(`${directory}/from`, 'r');
  const to = openSync(`${directory}/to`, 'w+');
  try {
    const number = jobs.start({ kind: 'copy', from, to, size: 9, flush: 'written' });
    assert.equal(jobs.outstanding, 1);
    let finished: readonly number[] = [];
    await until('the end of a job', () => {
      finished = jobs.collect();
      return finished.length > 0;
    });
    assert.deepEqual(finished, [number]);
    assert.equal(jobs.outstanding, 0);
    return { result: jobs.take(number) ?? 1, text: readFileSync(`${directory}/to`, 'utf8'), logged };
  } finally {
    closeSync(from);
    closeSync(to);
    jobs.close();
    rmSync(directory, { recursive: true });
  }
}

describe('jobs', () => {
  it('are done by a helper thread', async () => {
    assert.deepEqual(await copyBy(), { result: 0, text: 'some data', logged: [] });
  });

  it('are done on the session thread when no other can be started', async () => {
    const refused: StartHelper = () => {
      throw new Error('EAGAIN');
    };
    assert.deepEqual(await copyBy(refused), { result: 0, text: 'some data', logged: ['no helper thread'] });
  });

  it('end with EIO when their helper dies', async () => {
    const dying: StartHelper = ({ port }) =>
      new Worker('throw new Error("a bug")', { eval: true, workerData: port, transferList: [port] });
    assert.deepEqual(await copyBy(dying), {
      result: -sys.EIO,
      text: '',
      logged: ['a helper thread ended'],
    });
  });
});
