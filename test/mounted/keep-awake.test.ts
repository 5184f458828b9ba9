/** `keep_awake`: idle CPUs are kept from halting while requests come, and only then. */
import assert from 'node:assert/strict';
import { accessSync, constants, mkdirSync } from 'node:fs';
import { describe, it } from 'node:test';
import { plyfs } from '../support/drivers.js';
import { type RunResult, run } from '../support/exec.js';
import { COMMAND } from '../support/namespace.js';
import { Scratch } from '../support/scratch.js';
import { isMounted } from '../support/session-server.js';
import { lacking } from '../support/table.js';

const DEVICE = '/dev/cpu_dma_latency';

/** Why the constraint can't be observed here; null: it can. */
async function unavailable(): Promise<string | null> {
  const reason = (await plyfs.unavailable()) ?? (await lacking('python3'));
  if (reason !== null) return reason;
  try {
    accessSync(DEVICE, constants.R_OK | constants.W_OK);
  } catch {
    return `${DEVICE} can't be used here`;
  }
  return (await run('nproc', ['--all'])).stdout.trim() === '1' ? 'there is one CPU' : null;
}

/**
 * Prints how many descriptors of the device the server has, then whether idle CPUs are kept from halting: while a program
 * asks for one missing name after the other, and afterwards. Mounts of other tests may hold the same constraint, but not for ever.
 */
const SCRIPT = `
"$COMMAND" -f -o "lowerdir=lower,keep_awake=$MODE" mnt 2>log & server=$!
trap 'umount -l mnt' EXIT
until grep -q " $PWD/mnt " /proc/self/mountinfo; do sleep 0.05; kill -0 $server || exit 9; done
readlink /proc/$server/fd/* | grep -c "$DEVICE"
wish() { od -An -td4 -N4 "$DEVICE" | tr -d ' '; }
becomes() { for i in $(seq 1000); do test "$(wish)" "$1" 0 && return; sleep 0.05; done; return 1; }
python3 -c '
import os, time
end = time.time() + 100
i = 0
while not os.path.exists("stop") and time.time() < end:
    try: os.stat("mnt/%d" % i)
    except OSError: pass
    i += 1' & program=$!
test "$MODE" = off || { becomes = && echo awake; }
touch stop; wait $program
becomes '!=' && echo asleep
umount mnt; trap - EXIT; wait $server; cat log >&2`;

async function withMode(mode: string, scratch: Scratch): Promise<RunResult> {
  const cwd = scratch.directory(mode);
  for (const name of ['lower', 'mnt']) mkdirSync(`${cwd}/${name}`);
  try {
    return await run('sh', ['-c', SCRIPT], { cwd, env: { COMMAND, DEVICE, MODE: mode }, timeout: 180_000 });
  } finally {
    // The script does not get to do this when it times out.
    if (isMounted(`${cwd}/mnt`)) await run('umount', ['-l', `${cwd}/mnt`]);
  }
}

describe('keep_awake', () => {
  for (const { mode, says } of [
    { mode: 'on', says: '1\nawake\nasleep\n' },
    { mode: 'off', says: '0\nasleep\n' },
  ]) {
    it(`${mode}: ${says.trim().replaceAll('\n', ', ')}`, async (t) => {
      const reason = await unavailable();
      if (reason !== null) return t.skip(reason);
      const scratch = new Scratch();
      try {
        const result = await withMode(mode, scratch);
        assert.equal(result.stdout, says, result.stderr);
      } finally {
        scratch.dispose();
      }
    });
  }
});
