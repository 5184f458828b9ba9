/** A process that may have few open files mounts many layers, or says how many it needs. */
import assert from 'node:assert/strict';
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { after, before, it } from 'node:test';
import type { RunResult } from '../support/exec.js';
import { COMMAND, inNamespace, unavailable } from '../support/namespace.js';
import { Scratch } from '../support/scratch.js';

const LAYERS = 60;
const scratch = new Scratch();
const home = scratch.directory('home');
let reason: string | null = null;

before(async () => {
  reason = await unavailable();
  for (const name of ['up', 'work', 'mnt']) mkdirSync(`${home}/${name}`);
  for (let i = 0; i < LAYERS; i++) {
    mkdirSync(`${home}/l${i}/own${i}/deep`, { recursive: true });
    mkdirSync(`${home}/l${i}/shared`);
    writeFileSync(`${home}/l${i}/own${i}/deep/file`, 'deep\n');
    writeFileSync(`${home}/l${i}/shared/file${i}`, 'shared\n');
  }
});
after(() => scratch.dispose());

/** Mounts with at most `limit` open files and runs a script, in a mount namespace of its own. */
function withLimit(limit: number, script: string): Promise<RunResult> {
  const lower = Array.from({ length: LAYERS }, (_, i) => `l${i}`).join(':');
  const mount = `(ulimit -n ${limit}; '${COMMAND}' -o lowerdir=${lower},upperdir=up,workdir=work mnt)`;
  return inNamespace(home, `${mount}\n${script}`);
}

it('finds, reads, copies up and removes in all layers', async (t) => {
  if (reason !== null) return t.skip(reason);
  const { code, stdout, stderr } = await withLimit(
    128,
    `find mnt -type f | wc -l
    for file in mnt/shared/*; do echo more >> $file; done
    find mnt -type f -print0 | xargs -0 cat | sort | uniq -c | sed 's/^ *//'
    mv mnt/own1/deep/file mnt/own2/deep/moved
    rm -r mnt/own3 mnt/shared
    find mnt -type f | wc -l
    umount mnt`,
  );
  assert.equal(code, 0, stderr);
  assert.equal(stderr, '');
  assert.equal(stdout, `120\n${LAYERS} deep\n${LAYERS} more\n${LAYERS} shared\n${LAYERS - 1}\n`);
});

it('with too few for the layers plyfs says so in one sentence, and mounts nothing', async (t) => {
  if (reason !== null) return t.skip(reason);
  const before = readdirSync(`${home}/work`);
  for (const limit of [64, 90]) {
    const { code, stderr } = await withLimit(limit, '');
    assert.equal(code, 1, stderr);
    assert.match(
      stderr,
      new RegExp(
        `^plyfs: only ${limit} files may be open at a time, .*raise the limit of open files \\(ulimit -n\\)\\.\n$`,
      ),
    );
  }
  assert.deepEqual(readdirSync(`${home}/work`), before);
});
