/** A filesystem of the upper that is full: what goes on, what fails, and that it goes on when there is room again. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { drivers } from '../support/drivers.js';
import { must } from '../support/exec.js';
import { Scratch } from '../support/scratch.js';

/** `$fs` is where upper is; prints the names that are left after each step. */
const REMOVE_WITHOUT_INODES = `set -e
rm a
i=0
while touch "$fs/fill/$i"; do i=$((i + 1)); done 2>/dev/null
rm b; echo *
if rm c; then exit 1; fi; echo *
rm -r "$fs/fill"
rm -r c d; echo *
`;

for (const driver of drivers) {
  describe(`full disks on ${driver.name}`, () => {
    it('where a whiteout can have no further name, the last one is used itself', async (t) => {
      const reason = await driver.unavailable();
      if (reason !== null) return t.skip(reason);
      const scratch = new Scratch();
      const [fs, lower] = [scratch.directory('fs'), scratch.directory('lower')];
      for (const name of 'abc') writeFileSync(`${lower}/${name}`, '');
      for (const name of ['d', 'e']) mkdirSync(`${lower}/${name}`);
      await must('mount', ['-t', 'tmpfs', '-o', 'nr_inodes=50', 'none', fs]);
      try {
        const [upper, work] = [`${fs}/upper`, `${fs}/work`];
        for (const directory of [upper, work, `${fs}/fill`]) mkdirSync(directory);
        const mounted = await driver.mount({ lower: [lower], upper, work }, scratch.directory('merged'));
        try {
          const options = { cwd: mounted.path, env: { fs }, onTimeout: mounted.abort };
          assert.equal(await must('sh', ['-c', REMOVE_WITHOUT_INODES], options), 'c d e\nc d e\ne\n');
        } finally {
          await mounted.unmount();
        }
      } finally {
        await must('umount', ['-l', fs]);
        scratch.dispose();
      }
    });
  });
}
