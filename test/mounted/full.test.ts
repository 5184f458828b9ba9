/** A full filesystem of the upper: what still works, what fails, and that all works when there is room again. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type Driver, drivers } from '../support/drivers.js';
import { must } from '../support/exec.js';
import { type Image, type ImageKind, makeImage } from '../support/image.js';
import { Scratch } from '../support/scratch.js';
import { lacking } from '../support/table.js';

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

/** tmpfs takes room for xattrs from that for inodes: room for one inode is left, and not a byte more. */
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

/** ext4 has one block for the xattrs of an object; nothing has been copied up into the directories yet. */
const NAMES_IN_FULL_DIRECTORIES = `fill() {
  n=0
  for size in 1000 500 200 100 50 20 10 5 1; do
    while setfattr -n "user.$n" -v "$(printf "%0\${size}d" 0)" "$fs/upper/$1"; do n=$((n + 1)); done 2>/dev/null
  done
}
clear() { for i in $(seq 0 $n); do setfattr -x "user.$i" "$fs/upper/$1"; done 2>/dev/null; }
marked() { getfattr -n trusted.overlay.impure "$fs/upper/$1" | grep -c impure; }
chmod 700 e
fill e
if chmod 600 e/f; then exit 1; fi; stat -c %a e/f; ls "$fs/upper/e"
clear e
chmod 600 e/f; stat -c %a e/f; cat e/f; marked e
mkdir n
fill n
if ln e/f n/f; then exit 1; fi; ls n
clear n
ln e/f n/f; marked n
`;

const EXT4: ImageKind = { size: '16M', mkfs: ['mkfs.ext4', '-q', '-F'] };

/** A filesystem with few inodes. */
async function makeTmpfs(scratch: Scratch): Promise<Pick<Image, 'at' | 'dispose'>> {
  const at = scratch.directory('fs');
  await must('mount', ['-t', 'tmpfs', '-o', 'nr_inodes=50', 'none', at]);
  return { at, dispose: () => must('umount', ['-l', at]).then(() => {}) };
}

/** What a script prints in a mount whose upper and work are in `fs`; the script knows them as `upper` and `lower`. */
async function runOn(driver: Driver, scratch: Scratch, fs: string, script: string): Promise<string> {
  const lower = scratch.directory('lower');
  for (const file of 'abc') writeFileSync(`${lower}/${file}`, '');
  for (const directory of ['d', 'e']) mkdirSync(`${lower}/${directory}`);
  writeFileSync(`${lower}/e/f`, 'text');
  const [upper, work] = [`${fs}/upper`, `${fs}/work`];
  for (const directory of [upper, work, `${fs}/fill`]) mkdirSync(directory);
  const options = ['metacopy=on'];
  const mounted = await driver.mount({ lower: [lower], upper, work, options }, scratch.directory('merged'));
  try {
    return await must('sh', ['-c', script], { cwd: mounted.path, env: { fs }, onTimeout: mounted.abort });
  } finally {
    await mounted.unmount();
  }
}

for (const driver of drivers) {
  describe(`full disks on ${driver.name}`, () => {
    const on = (name: string, kind: 'tmpfs' | 'ext4', script: string, shown: string): void => {
      it(name, async (t) => {
        const reason = (await driver.unavailable()) ?? (await lacking('setfattr', 'getfattr'));
        if (reason !== null) return t.skip(reason);
        const scratch = new Scratch();
        try {
          const image = await (kind === 'ext4' ? makeImage(scratch, EXT4) : makeTmpfs(scratch));
          if (typeof image === 'string') return t.skip(image);
          try {
            assert.equal(await runOn(driver, scratch, image.at, script), shown);
          } finally {
            await image.dispose();
          }
        } finally {
          scratch.dispose();
        }
      });
    };

    on(
      'where a whiteout can have no further name, the last one is used itself',
      'tmpfs',
      REMOVE_WITHOUT_INODES,
      'c d e\nc d e\ne\n',
    );
    on(
      'nothing is copied up where there is no room for its origin',
      'tmpfs',
      COPY_UP_WITHOUT_ROOM_FOR_XATTRS,
      '755\n700\n1\n',
    );
    on(
      'nothing from a lower layer gets a name in a directory that has no room for its mark',
      'ext4',
      NAMES_IN_FULL_DIRECTORIES,
      '644\n600\ntext1\n1\n',
    );
  });
}
