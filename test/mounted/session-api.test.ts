/** `import { mount } from 'plyfs'`, in a program of its own. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { plyfs } from '../support/drivers.js';
import { must, run } from '../support/exec.js';
import { Scratch } from '../support/scratch.js';
import { isMounted } from '../support/session-server.js';

const PROGRAM = fileURLToPath(new URL('../support/api-main.js', import.meta.url));
const scratch = new Scratch();
let reason: string | null = null;
before(async () => {
  reason = await plyfs.unavailable();
});
after(() => scratch.dispose());

describe('the API', () => {
  it('mounts, counts, unmounts, and lets the program end by itself', async (t) => {
    if (reason !== null) return t.skip(reason);
    const paths = ['löwer, one:two', 'upper', 'work', 'möunt'].map((name) => scratch.directory(name));
    const at = paths[3]!;
    writeFileSync(`${paths[0]}/file`, 'text\n');
    const child = spawn(process.execPath, [PROGRAM, ...paths], { stdio: ['pipe', 'pipe', 'inherit'] });
    let said = '';
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    try {
      while (!said.includes('\n')) await once(child.stdout, 'data');
      assert.equal(await must('cat', [`${at}/file`]), 'text\n');
      assert.match(await must('grep', ['fuse.plyfs api ', '/proc/self/mountinfo']), / rw,nosuid,/);
      child.stdin.write('\n');
      const [code] = await once(child, 'close');
      assert.equal(code, 0);
      assert.equal(said, `ready ${at}\nrequests true\nended unmounted\n`);
      assert.equal(isMounted(at), false);
    } finally {
      await run('umount', ['-l', at]);
      child.kill('SIGKILL');
    }
  });

  it('rejects with a sentence', async (t) => {
    if (reason !== null) return t.skip(reason);
    const at = scratch.directory('mnt');
    const paths = ['/nicht/dä', scratch.directory('upper'), scratch.directory('work'), at];
    const said = await must(process.execPath, [PROGRAM, ...paths]);
    assert.match(said, /^sorry: .*does not exist[^\n]*\n$/);
    assert.equal(isMounted(at), false);
  });
});
