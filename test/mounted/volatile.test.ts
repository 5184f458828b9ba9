/** `volatile`: nothing is flushed, but fsync(2) still reports lost writes. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { drivers, type Stack } from '../support/drivers.js';
import { must, run } from '../support/exec.js';
import { Scratch } from '../support/scratch.js';
import { lacking } from '../support/table.js';

/** A filesystem that assumes 64 MiB but has 10: what exceeds them is lost when it is written back. */
async function overcommitted(scratch: Scratch): Promise<{ at: string; small: string } | null> {
  const [small, at] = [scratch.directory('small'), scratch.directory('fs')];
  const steps = [
    ['mount', '-t', 'tmpfs', '-o', 'size=10M', 'none', small],
    ['truncate', '-s', '64M', `${small}/image`],
    ['mkfs.ext4', '-q', '-F', `${small}/image`],
    ['mount', '-o', 'loop', `${small}/image`, at],
  ];
  for (const [program = '', ...args] of steps) {
    if ((await run(program, args)).code === 0) continue;
    await run('umount', [small]);
    return null;
  }
  return { at, small };
}

const LOSE = `import errno, os, time
def ask(fd):
    try:
        os.fsync(fd)
        return 'ok'
    except OSError as error:
        return errno.errorcode[error.errno]
f = os.open('f', os.O_RDWR | os.O_CREAT)
g = os.open('g', os.O_RDWR | os.O_CREAT)
os.write(g, b'x')
print(ask(f), ask(g))
for i in range(30): os.write(f, b'a' * (1 << 20))
os.system('sync')
if os.environ['FIRST'] == 'gone':
    # No process has it open any more, not even plyfs.
    os.close(f)
    f = g
    open('/proc/sys/vm/drop_caches', 'w').write('2')
# A second later, so that all files are checked.
time.sleep(1.1)
print(ask(g) if os.environ['FIRST'] == 'other' else ask(f), ask(g), ask(f), ask(g))
`;

for (const driver of drivers) {
  describe(`volatile on ${driver.name}`, () => {
    for (const first of ['same', 'other', 'gone']) {
      it(`reports lost writes to every caller (first the file: ${first})`, async (t) => {
        const reason = (await driver.unavailable()) ?? (await lacking('python3'));
        if (reason !== null) return t.skip(reason);
        const scratch = new Scratch();
        const fs = await overcommitted(scratch);
        if (fs === null) {
          scratch.dispose();
          return t.skip('no loop device or no mkfs.ext4 here');
        }
        const merged = scratch.directory('merged');
        const stack: Stack = {
          lower: [scratch.directory('lower')],
          upper: `${fs.at}/upper`,
          work: `${fs.at}/work`,
          options: ['volatile'],
        };
        await must('mkdir', [stack.upper!, stack.work!]);
        const mounted = await driver.mount(stack, merged);
        try {
          const result = await run('sh', ['-c', `cd '${merged}' && exec python3 -c "$LOSE"`], {
            env: { LOSE, FIRST: first },
          });
          const lost = result.stdout.trim().split('\n').at(-1)?.split(' ') ?? [];
          assert.equal(result.stdout.split('\n')[0], 'ok ok', result.stderr);
          assert.equal(lost.length, 4);
          for (const answer of lost) assert.match(answer, /^(ENOSPC|EIO)$/);
          assert.ok(
            existsSync(`${fs.at}/work/work/incompat/volatile/dirty`),
            'the mark that it was volatile',
          );
        } finally {
          await mounted.unmount();
          await run('umount', [fs.at]);
          await run('umount', [fs.small]);
          scratch.dispose();
        }
      });
    }
  });
}
