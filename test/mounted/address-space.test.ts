/** V8 ends a process that has no address space left for another thread: a mount must not get that far. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, before, it } from 'node:test';
import { COMMAND, inNamespace, unavailable } from '../support/namespace.js';
import { Scratch } from '../support/scratch.js';

const scratch = new Scratch();
const home = scratch.directory('home');
let reason: string | null = null;

before(async () => {
  reason = await unavailable();
  for (const name of ['low', 'up', 'work', 'mnt']) mkdirSync(`${home}/${name}`);
  // Large enough to be copied by a helper thread.
  writeFileSync(`${home}/low/file`, Buffer.alloc(2 << 20));
});
after(() => scratch.dispose());

const MOUNT = `'${COMMAND}' -o lowerdir=low,upperdir=up,workdir=work mnt`;

it('with too little of it plyfs says so in one sentence, and mounts nothing', async (t) => {
  if (reason !== null) return t.skip(reason);
  const { code, stderr } = await inNamespace(home, `ulimit -v 1500000; ${MOUNT}`);
  assert.equal(code, 1, stderr);
  assert.equal(
    stderr,
    'plyfs: this process may have 1464 MiB of address space, and a mount needs 4096: raise the limit of virtual memory (ulimit -v).\n',
  );
});

it('a soft limit is raised', async (t) => {
  if (reason !== null) return t.skip(reason);
  const script = `(ulimit -S -v 1500000; ${MOUNT}) && echo x >> mnt/file && wc -c < mnt/file; umount mnt`;
  const { code, stdout, stderr } = await inNamespace(home, script);
  assert.equal(stderr, '');
  assert.equal(stdout, `${(2 << 20) + 2}\n`);
  assert.equal(code, 0);
});
