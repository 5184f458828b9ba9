/** Mounts inside layers that could not be cloned: nothing hangs, and their contents are not shown. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';

const PLYFS = fileURLToPath(new URL('../../../scripts/plyfs', import.meta.url));

/**
 * In a user namespace the root's mount has locked children and can't be cloned. The overlay of `/` is mounted below
 * `/`, so that it contains itself; and beside it something else is mounted.
 */
const SCRIPT = `
set -e
mount -t tmpfs tmpfs /mnt
cd /mnt
mkdir upper work merged
${PLYFS} -o lowerdir=/,upperdir=upper,workdir=work merged
echo "proc:$(ls merged/proc | wc -l)"
echo "mnt:$(ls -A merged/mnt | wc -l)"
touch merged/mnt/new
ls merged/mnt
find merged -maxdepth 1 -name bin
umount merged
echo "upper:$(ls upper/mnt)"
`;

test('an overlay of / in a user namespace does not wait for itself', (t) => {
  const probe = spawnSync('unshare', ['-Ur', '-m', 'true']);
  if (probe.status !== 0) return t.skip('no user namespaces here');
  const fuse = spawnSync('sh', ['-c', 'exec 9<>/dev/fuse']);
  if (fuse.status !== 0) return t.skip('/dev/fuse can not be opened');
  const done = spawnSync('unshare', ['-Ur', '-m', 'sh', '-c', SCRIPT], { timeout: 60_000, encoding: 'utf8' });
  assert.equal(done.stderr.replaceAll(/^plyfs: warning.*\n/gm, ''), '');
  assert.equal(done.signal, null, 'it hangs');
  assert.equal(done.stdout, 'proc:0\nmnt:0\nnew\nmerged/bin\nupper:new\n');
});
