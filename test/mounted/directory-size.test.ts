/** Where a directory's size depends on its number of names (tmpfs), a copy-up into it changes the size. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { kernel, plyfs } from '../support/drivers.js';
import { must, sh } from '../support/exec.js';
import { Scratch } from '../support/scratch.js';

const SCRIPT = `touch a/new; before=$(stat -c %s a); chmod 700 a/dir; between=$(stat -c %s a); echo y >>a/file
after=$(stat -c %s a); test $((between - before)) -gt 0 -a $((after - between)) -gt 0 && echo grows || echo $before $between $after`;

describe('size of a directory', () => {
  for (const driver of [kernel, plyfs]) {
    it(`follows copy-ups on ${driver.name}`, async (t) => {
      const reason = await driver.unavailable();
      if (reason !== null) return t.skip(reason);
      const scratch = new Scratch();
      const [lower, fs, merged] = ['lower', 'fs', 'merged'].map((name) => scratch.directory(name));
      await must('sh', ['-c', `mkdir -p ${lower}/a/dir && echo x >${lower}/a/file`]);
      await must('mount', ['-t', 'tmpfs', 'none', fs!]);
      try {
        await must('mkdir', [`${fs}/upper`, `${fs}/work`]);
        const stack = { lower: [lower!], upper: `${fs}/upper`, work: `${fs}/work` };
        const mounted = await driver.mount(stack, merged!);
        try {
          const result = await sh(`cd '${merged}' && { ${SCRIPT}\n}`, { onTimeout: mounted.abort, cwd: '/' });
          assert.equal(result.stdout, 'grows\n', result.stderr);
        } finally {
          await mounted.unmount();
        }
      } finally {
        // The server may hold the filesystem for a moment longer than its mount.
        await must('umount', ['-l', fs!]);
        scratch.dispose();
      }
    });
  }
});
