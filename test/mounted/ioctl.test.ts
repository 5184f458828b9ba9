/** ioctls of the layers' filesystems are not passed through a mount: they would run with the server's rights. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import { kernel, plyfs } from '../support/drivers.js';
import { must, processGone, run } from '../support/exec.js';
import { makeImage } from '../support/image.js';
import { Scratch } from '../support/scratch.js';
import { lacking } from '../support/table.js';

/** Run by a user who may only read: tries each command on the given objects and prints its errno. */
const TRY = `import errno, fcntl, os, struct, sys
os.setgid(65534)
os.setuid(65534)
commands = [('GETVERSION', 0x80087601, bytes(8)), ('SETFLAGS of 32 bits', 0x40046602, struct.pack('I', 0x10)),
  ('GETFLAGS of 32 bits', 0x80046601, bytes(4)), ('SETFLAGS', 0x40086602, struct.pack('Q', 0x10)),
  ('SHUTDOWN', 0x8004587d, struct.pack('I', 0))]
for path in sys.argv[1:]:
    fd = os.open(path, os.O_RDONLY)
    for name, command, argument in commands:
        try:
            fcntl.ioctl(fd, command, argument)
            print(name, 'ok')
        except OSError as error:
            print(name, errno.errorcode[error.errno])
`;
const REFUSED = `GETVERSION ENOTTY
SETFLAGS of 32 bits ENOTTY
GETFLAGS of 32 bits ENOTTY
SETFLAGS EPERM
SHUTDOWN ENOTTY
`;

for (const driver of [kernel, plyfs]) {
  describe(`ioctls on ${driver.name}`, () => {
    it('are refused, except those for flags, which are checked', async (t) => {
      const reason = (await driver.unavailable()) ?? (await lacking('python3'));
      if (reason !== null) return t.skip(reason);
      const scratch = new Scratch();
      const image = await makeImage(scratch, { size: '64M', mkfs: ['mkfs.ext4', '-q', '-F'] });
      if (typeof image === 'string') return t.skip(image);
      try {
        const [lower, upper, work] = ['lower', 'upper', 'work'].map((name) => `${image.at}/${name}`);
        for (const path of [lower!, upper!, work!, `${lower}/dir`]) mkdirSync(path);
        for (const name of ['kept', 'copied']) writeFileSync(`${lower}/${name}`, 'text');
        const mounted = await driver.mount(
          { lower: [lower!], upper: upper!, work: work! },
          scratch.directory('m'),
        );
        try {
          const inMount = { onTimeout: mounted.abort };
          await must('sh', ['-c', `echo more >> ${mounted.path}/copied`], inMount);
          const objects = ['kept', 'copied', 'dir'].map((name) => `${mounted.path}/${name}`);
          const tried = await run('python3', ['-c', TRY, ...objects], inMount);
          assert.equal(tried.stdout, REFUSED.repeat(3), tried.stderr);
          await must(
            'sh',
            ['-c', `echo more | tee -a ${objects[0]} ${objects[1]} > ${objects[2]}/new`],
            inMount,
          );
          await must('touch', [`${image.at}/alive`]);
        } finally {
          await mounted.unmount();
        }
        if (driver === plyfs) await processGone(image.at);
      } finally {
        await image.dispose();
        scratch.dispose();
      }
    });
  });
}
