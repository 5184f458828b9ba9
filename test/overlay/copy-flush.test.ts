/** Where a copy-up waits for its data. */
import assert from 'node:assert/strict';
import { closeSync, mkdtempSync, openSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { WriteOuts } from '../../src/overlay/copy-flush.js';
import * as sys from '../../src/sys/index.js';

it('a slow disk is waited for on a helper thread, for a while', () => {
  const directory = mkdtempSync(join(tmpdir(), 'plyfs-flush-'));
  const fd = openSync(`${directory}/file`, 'w+');
  let [time, wait] = [0, 0];
  const writeOuts = new WriteOuts(() => {
    time += wait;
    return time;
  });
  try {
    writeSync(fd, 'data');
    assert.equal(writeOuts.begin(fd), false);
    wait = 0.5;
    assert.equal(writeOuts.finish(fd), 0);
    assert.equal(writeOuts.begin(fd), false, 'half a millisecond is short');
    wait = 5;
    assert.equal(writeOuts.finish(fd), 0);
    let elsewhere = 0;
    while (writeOuts.begin(fd)) elsewhere++;
    assert.equal(elsewhere, 64);
    assert.equal(readFileSync(`${directory}/file`, 'utf8'), 'data');
  } finally {
    closeSync(fd);
    rmSync(directory, { recursive: true });
  }
});

it('a write that fails is reported', () => {
  const [reader, writer] = [openSync('/dev/null', 'r'), new WriteOuts()];
  try {
    assert.equal(sys.errnoName(writer.finish(reader)), 'ESPIPE');
  } finally {
    closeSync(reader);
  }
});
