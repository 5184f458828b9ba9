/** The log. */
import assert from 'node:assert/strict';
import { closeSync, openSync } from 'node:fs';
import { it } from 'node:test';
import { openLog } from '../../src/session/log.js';

for (const format of ['text', 'json'] as const) {
  it(`a log that can not be written does no harm, as ${format}`, () => {
    const fd = openSync('/dev/full', 'w');
    try {
      const log = openLog({ fd, level: 'info', format });
      for (let i = 0; i < 3; i++) assert.doesNotThrow(() => log.error({ i }, 'on a full disk'));
    } finally {
      closeSync(fd);
    }
  });
}
