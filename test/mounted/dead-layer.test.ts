/** A lower layer whose filesystem fails while it is mounted. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { COMMAND, inNamespace, unavailable } from '../support/namespace.js';
import { Scratch } from '../support/scratch.js';

it('a dead lower makes only those operations fail that need it', async (t) => {
  const reason = await unavailable();
  if (reason !== null) return t.skip(reason);
  const scratch = new Scratch();
  t.after(() => scratch.dispose());
  const { code, stdout, stderr } = await inNamespace(
    scratch.directory('home'),
    `mkdir -p below/d below/seen upper/pure upper/d work lower mnt
    echo low > below/d/low; echo low > below/seen/low; echo up > upper/pure/up; echo up > upper/d/up
    '${COMMAND}' -f -o lowerdir=below lower 2> log & pid=$!
    until mountpoint -q lower; do sleep 0.05; done
    '${COMMAND}' -o lowerdir=lower,upperdir=upper,workdir=work mnt
    cat mnt/seen/low
    kill -9 $pid; wait $pid || true
    say() { printf '%s: ' "$1"; sh -c "$1" 2>&1 | sed 's/.*: //'; }
    say 'cat mnt/d/low'
    say 'ls mnt/d'
    say 'cat mnt/d/up'
    say 'echo more >> mnt/d/up; cat mnt/d/up'
    say 'echo new > mnt/pure/new; mv mnt/pure mnt/moved; cat mnt/moved/*'
    umount mnt lower`,
  );
  assert.equal(code, 0, stderr);
  const dead = 'Transport endpoint is not connected';
  assert.deepEqual(stdout.trim().split('\n'), [
    'low',
    `cat mnt/d/low: ${dead}`,
    `ls mnt/d: ${dead}`,
    'cat mnt/d/up: up',
    'echo more >> mnt/d/up; cat mnt/d/up: up',
    'more',
    'echo new > mnt/pure/new; mv mnt/pure mnt/moved; cat mnt/moved/*: new',
    'up',
  ]);
});
