/** A small part of scripts/containers.sh: buildah makes layers with plyfs as its mount program. No program in them is run. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { plyfs } from '../support/drivers.js';
import { type RunResult, run } from '../support/exec.js';
import { COMMAND } from '../support/namespace.js';
import { hasTool } from '../support/table.js';

let reason: string | null = null;
/** The path must be short: a runroot may have at most 50 characters. */
let base = '';

before(async () => {
  reason = await plyfs.unavailable();
  if (reason === null && !(await hasTool('buildah'))) reason = 'buildah is not installed';
  if (reason === null) base = mkdtempSync('/var/tmp/plyfs-b-');
});
after(() => {
  if (base !== '') rmSync(base, { recursive: true, force: true });
});

/** Runs a script in a mount namespace of its own; `b` is buildah with a store of the test. */
function withStore(script: string): Promise<RunResult> {
  const prepare = `set -e; cd ${base}
    b() { buildah --root ${base}/store --runroot ${base}/run --storage-driver overlay --storage-opt overlay.mount_program=${COMMAND} "$@"; }
    ${script}`;
  return run('unshare', ['-m', '--propagation', 'private', 'sh', '-c', prepare], {
    cwd: '/',
    timeout: 180_000,
  });
}

describe('buildah', () => {
  it('builds layers on plyfs: deletions, replaced directories, owners', async (t) => {
    if (reason !== null) return t.skip(reason);
    const result = await withStore(`
      c=$(b from scratch); m=$(b mount $c); stat -f -c %T $m
      mkdir $m/d $m/e; echo 1 >$m/d/one; echo 2 >$m/d/two; echo x >$m/gone; echo s >$m/e/s; chown 12:34 $m/d/two; chmod 4755 $m/e/s
      b umount $c >/dev/null; b commit --quiet $c first >/dev/null; b rm $c >/dev/null
      c=$(b from --pull-never localhost/first); m=$(b mount $c)
      rm $m/gone; rm -r $m/e; mkdir $m/e; echo n >$m/e/new; echo more >>$m/d/two; mv $m/d/one $m/d/1
      b umount $c >/dev/null; b commit --quiet $c second >/dev/null; b rm $c >/dev/null
      c=$(b from --pull-never localhost/second); m=$(b mount $c)
      (cd $m; find . -printf '%P %y %m %U:%G\\n' | LC_ALL=C sort; cat d/two)
      b umount $c >/dev/null; b rm $c >/dev/null; b rmi -fa >/dev/null; grep -c ' ${base}.*fuse' /proc/self/mountinfo || true`);
    assert.equal(
      result.stdout,
      'fuseblk\n d 555 0:0\nd d 755 0:0\nd/1 f 644 0:0\nd/two f 644 12:34\ne d 755 0:0\ne/new f 644 0:0\n2\nmore\n0\n',
      result.stderr,
    );
  });
});
