/** Going to the background: the server keeps nothing of its caller. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, it } from 'node:test';
import { COMMAND, inNamespace, unavailable } from '../support/namespace.js';
import { Scratch } from '../support/scratch.js';

const scratch = new Scratch();
const home = scratch.directory('home');
let reason: string | null = null;

before(async () => {
  reason = await unavailable();
  for (const name of ['l', 'started', 'mnt']) mkdirSync(`${home}/${name}`);
});
after(() => scratch.dispose());

it('the directory that it was started in is not kept busy', async (t) => {
  if (reason !== null) return t.skip(reason);
  const { code, stderr } = await inNamespace(
    home,
    `
    mount -t tmpfs none started
    (cd started; '${COMMAND}' -o lowerdir=../l ../mnt)
    umount started
    umount mnt`,
  );
  assert.equal(code, 0, stderr);
});

it('it mounts for a caller without any of the standard descriptors', async (t) => {
  if (reason !== null) return t.skip(reason);
  const { code, stderr, stdout } = await inNamespace(
    home,
    `
    '${COMMAND}' -o lowerdir=l mnt <&- >&- 2>&-
    umount mnt
    '${COMMAND}' -o lowerdir=nowhere mnt <&- >&- 2>&- || echo "code $?"`,
  );
  assert.equal(code, 0, stderr);
  assert.equal(stdout, 'code 1\n');
});
