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

/** tmpfs takes xattrs from what it has for inodes: an inode is left, and not a byte more. */
const COPY_UP_WITHOUT_ROOM_FOR_XATTRS = `i=0
while touch "$fs/fill/$i"; do i=$((i + 1)); done 2>/dev/null
n=0
for size in 500 200 100 50 20 10 5 1; do
  while setfattr -n "user.$n" -v "$(printf "%0\${size}d" 0)" "$fs/fill/1"; do n=$((n + 1)); done 2>/dev/null
done
rm "$fs/fill/0"
if chmod 700 d; then exit 1; fi; stat -c %a d; ls "$fs/upper"
rm -r "$fs/fill"; chmod 700 d; stat -c %a d
getfattr -m trusted.overlay.origin "$fs/upper/d" | grep -c origin
`;

for (const driver of drivers) {
  describe(`full disks on ${driver.name}`, () => {
    const on = (name: string, script: string, shown: string): void => {
      it(name, async (t) => {
        const reason = await driver.unavailable();
        if (reason !== null) return t.skip(reason);
        const scratch = new Scratch();
        const [fs, lower] = [scratch.directory('fs'), scratch.directory('lower')];
        for (const file of 'abc') writeFileSync(`${lower}/${file}`, '');
        for (const directory of ['d', 'e']) mkdirSync(`${lower}/${directory}`);
        await must('mount', ['-t', 'tmpfs', '-o', 'nr_inodes=50', 'none', fs]);
        try {
          const [upper, work] = [`${fs}/upper`, `${fs}/work`];
          for (const directory of [upper, work, `${fs}/fill`]) mkdirSync(directory);
          const mounted = await driver.mount({ lower: [lower], upper, work }, scratch.directory('merged'));
          try {
            const options = { cwd: mounted.path, env: { fs }, onTimeout: mounted.abort };
            assert.equal(await must('sh', ['-c', script], options), shown);
          } finally {
            await mounted.unmount();
          }
        } finally {
          await must('umount', ['-l', fs]);
          scratch.dispose();
        }
      });
    };

    on(
      'where a whiteout can have no further name, the last one is used itself',
      REMOVE_WITHOUT_INODES,
      'c d e\nc d e\ne\n',
    );
    on(
      'nothing is copied up where there is no room for its origin',
      COPY_UP_WITHOUT_ROOM_FOR_XATTRS,
      '755\n700\n1\n',
    );
  });
}
