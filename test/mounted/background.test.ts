/** Going to the background: what the server keeps of its caller, which is nothing. */
import assert from 'node:assert/strict';
import { mkdirSync } from 'node:fs';
import { after, before, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { plyfs } from '../support/drivers.js';
import { type RunResult, run } from '../support/exec.js';
import { Scratch } from '../support/scratch.js';

const COMMAND = fileURLToPath(new URL('../../../scripts/plyfs', import.meta.url));
const scratch = new Scratch();
const home = scratch.directory('home');
let reason: string | null = null;

before(async () => {
  reason = (await plyfs.unavailable()) ?? (process.geteuid!() === 0 ? null : 'not root');
  for (const name of ['l', 'started', 'mnt']) mkdirSync(`${home}/${name}`);
});
after(() => scratch.dispose());

function inNamespace(script: string): Promise<RunResult> {
  return run('unshare', ['-m', '--propagation', 'private', 'sh', '-ec', script], { cwd: home });
}

it('the directory that it was started in is not kept busy', async (t) => {
  if (reason !== null) return t.skip(reason);
  const { code, stderr } = await inNamespace(`
    mount -t tmpfs none started
    (cd started; '${COMMAND}' -o lowerdir=../l ../mnt)
    umount started
    umount mnt`);
  assert.equal(code, 0, stderr);
});

it('it mounts for a caller that has none of the standard descriptors', async (t) => {
  if (reason !== null) return t.skip(reason);
  const { code, stderr, stdout } = await inNamespace(`
    '${COMMAND}' -o lowerdir=l mnt <&- >&- 2>&-
    umount mnt
    '${COMMAND}' -o lowerdir=nowhere mnt <&- >&- 2>&- || echo "code $?"`);
  assert.equal(code, 0, stderr);
  assert.equal(stdout, 'code 1\n');
});
