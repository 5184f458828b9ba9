/** One thread serves requests and signals: nothing else that it does may wait for the mount. */
import assert from 'node:assert/strict';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, it } from 'node:test';
import { run } from '../support/exec.js';
import { COMMAND, inNamespace, unavailable } from '../support/namespace.js';
import { Scratch } from '../support/scratch.js';
import { missingTools } from '../support/table.js';

const scratch = new Scratch();
let reason: string | null = null;

before(async () => {
  reason = await unavailable();
  const missing = await missingTools(['pgrep', 'python3', 'setpriv']);
  if (missing.length > 0) reason ??= `not installed: ${missing.join(', ')}`;
});
after(() => scratch.dispose());

/**
 * Layers and a mount point that no other test uses: the server of an ended test may live for a moment longer, and must not be
 * mistaken for this one's.
 */
function stack(): string {
  const home = scratch.directory('home');
  for (const name of ['l', 'up', 'work', 'mnt']) mkdirSync(`${home}/${name}`);
  writeFileSync(`${home}/l/file`, 'a'.repeat(1 << 20));
  return home;
}

const MAP_AND_WRITE = `
import mmap, os
file = os.open("mnt/file", os.O_RDWR)
view = mmap.mmap(file, 1 << 20)
view[:] = b"b" * (1 << 20)
os._exit(0)
`;

it('a signal unmounts although the kernel still has mapped data to write back', async (t) => {
  if (reason !== null) return t.skip(reason);
  const home = stack();
  const { code, stderr } = await inNamespace(
    home,
    `
    '${COMMAND}' -f -o lowerdir=l,upperdir=up,workdir=work mnt &
    until mountpoint -q mnt; do sleep 0.05; done
    python3 -c '${MAP_AND_WRITE}'
    kill -TERM $!
    wait $!`,
  );
  assert.equal(code, 0, stderr);
  assert.equal(readFileSync(`${home}/up/file`, 'latin1'), 'b'.repeat(1 << 20));
});

for (const covered of ['/dev', '/run', '/sys', '/etc']) {
  it(`a mount that covers ${covered} answers and ends`, async (t) => {
    if (reason !== null) return t.skip(reason);
    const home = stack();
    const { code, stderr } = await inNamespace(
      home,
      `
      '${COMMAND}' -o lowerdir=${covered}:${home}/l ${covered}
      test -e ${covered}/file
      server=$(pgrep -f '^node.* -o lowerdir=${covered}:${home}/l ')
      kill -TERM $server
      # Without looking into the mount, which would then be busy and stay: a starting program reads /etc/ld.so.cache.
      look() { while read -r _ point type _; do [ "$point $type" != '${covered} fuse.plyfs' ] || mounted=1; done </proc/mounts; }
      until mounted=; look; [ -z "$mounted" ]; do :; done`,
    );
    assert.equal(code, 0, stderr);
  });
}

it('between requests the thread acts as itself, not as the last caller', async (t) => {
  if (reason !== null) return t.skip(reason);
  const home = stack();
  const { code, stdout, stderr } = await inNamespace(
    home,
    `
    '${COMMAND}' -o lowerdir=l,upperdir=up,workdir=work ${home}/mnt
    server=$(pgrep -f '^node.* ${home}/mnt')
    chmod 777 mnt
    identity() { awk '/^Uid:/ { print $5 }' /proc/$server/status; }
    # Again after other work: there is some right after the start.
    i=0; until [ "$(identity)" = 1234 ]; do
      i=$((i + 1)); setpriv --reuid 1234 --regid 1234 --clear-groups touch mnt/new$i
    done
    '${COMMAND}' stats mnt >/dev/null
    identity
    umount mnt`,
  );
  assert.equal(code, 0, stderr);
  assert.equal(stdout, '0\n');
});

it('has room for its descriptors before it needs them, since making room takes a wait', async (t) => {
  if (reason !== null) return t.skip(reason);
  const limit = (await run('sh', ['-c', 'ulimit -Hn'])).stdout.trim();
  if (Number(limit) < 4096) return t.skip(`only ${limit} descriptors are allowed here`);
  const home = stack();
  const { code, stderr } = await inNamespace(
    home,
    `
    '${COMMAND}' -o lowerdir=l,upperdir=up,workdir=work ${home}/mnt
    server=$(pgrep -f '^node.* ${home}/mnt')
    until [ "$(awk '/^FDSize:/ { print $2 }' /proc/$server/status)" -ge 4096 ]; do sleep 0.05; done
    umount mnt`,
  );
  assert.equal(code, 0, stderr);
});

it('reads a directory to its end although signals arrive meanwhile', async (t) => {
  if (reason !== null) return t.skip(reason);
  const home = stack();
  // A signal makes getdents64(2) return with what it has so far.
  const { code, stdout, stderr } = await inNamespace(
    home,
    `
    mkdir -p big/d; (cd big/d; seq 20000 | xargs touch)
    '${COMMAND}' -o lowerdir=big ${home}/mnt
    server=$(pgrep -f '^node.* ${home}/mnt')
    python3 -c '
import os, signal, sys, time
open("begun", "w").close()
while True:
    os.kill(int(sys.argv[1]), signal.SIGUSR1)
    time.sleep(0.0001)' $server & signals=$!
    until test -e begun; do sleep 0.05; done
    find mnt/d -mindepth 1 | wc -l
    kill $signals
    umount mnt`,
  );
  assert.equal(code, 0, stderr);
  assert.equal(stdout, '20000\n');
});
