/** Mounting without privilege: through fusermount3, and in a user namespace. */
import assert from 'node:assert/strict';
import { chmodSync, chownSync, existsSync, mkdirSync, statSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { plyfs } from '../support/drivers.js';
import { type RunResult, run } from '../support/exec.js';
import { COMMAND } from '../support/namespace.js';
import { Scratch } from '../support/scratch.js';
import { isMounted } from '../support/session-server.js';

const NOBODY = 65534;
const AS_NOBODY = ['--reuid', `${NOBODY}`, '--regid', `${NOBODY}`, '--clear-groups'];

const scratch = new Scratch();
let reason: string | null = null;
let deviceMode = 0;

before(async () => {
  reason = await plyfs.unavailable();
  if (reason !== null) return;
  chmodSync(scratch.path, 0o755);
  // As udev sets it on any desktop or server; without udev only root may open it.
  deviceMode = statSync('/dev/fuse').mode & 0o7777;
  chmodSync('/dev/fuse', 0o666);
  const readable = await run('setpriv', [...AS_NOBODY, 'test', '-x', COMMAND]);
  if (readable.code !== 0) reason = 'another user can not read this directory';
});
after(() => {
  if (deviceMode !== 0) chmodSync('/dev/fuse', deviceMode);
  scratch.dispose();
});

/** Layers that belong to nobody. */
function home(): string {
  const path = scratch.directory('home');
  for (const name of ['', 'lower', 'up', 'work', 'mnt']) {
    const directory = `${path}/${name}`;
    if (name !== '') mkdirSync(directory);
    chownSync(directory, NOBODY, NOBODY);
  }
  writeFileSync(`${path}/lower/file`, 'lower\n');
  chownSync(`${path}/lower/file`, NOBODY, NOBODY);
  return path;
}

const SCRIPT = `${COMMAND} -o lowerdir=lower,upperdir=up,workdir=work mnt || exit 9
  grep "$PWD/mnt " /proc/self/mountinfo
  cat mnt/file; echo more >>mnt/file; echo new >mnt/new; cat mnt/file mnt/new; rm mnt/new; ls mnt
  ${COMMAND} umount mnt; echo "code $?"`;

function runAs(words: readonly string[], cwd: string): Promise<RunResult> {
  const [command = '', ...args] = words;
  return run(command, [...args, '/bin/sh', '-c', SCRIPT], { cwd });
}

function expectWork(result: RunResult): void {
  assert.match(result.stdout, /\nlower\nlower\nmore\nnew\nfile\ncode 0\n$/, result.stdout + result.stderr);
}

describe('a user without any privilege', () => {
  it('mounts through fusermount', async (t) => {
    if (reason !== null) return t.skip(reason);
    if (!existsSync('/usr/bin/fusermount3')) return t.skip('fusermount3 is not installed');
    const cwd = home();
    const result = await runAs(['setpriv', ...AS_NOBODY], cwd);
    expectWork(result);
    assert.match(result.stdout, / rw,nosuid,nodev,\S* - fuse\.plyfs plyfs rw,user_id=65534,group_id=65534/);
    assert.equal(isMounted(`${cwd}/mnt`), false);
  });

  it('is told that plyfs can not keep CPUs awake', async (t) => {
    if (reason !== null) return t.skip(reason);
    if (!existsSync('/usr/bin/fusermount3')) return t.skip('fusermount3 is not installed');
    if ((await run('nproc', ['--all'])).stdout.trim() === '1') return t.skip('there is one CPU');
    const script = SCRIPT.replace('lowerdir=lower', 'lowerdir=lower,keep_awake=on');
    const result = await run('setpriv', [...AS_NOBODY, 'sh', '-c', script], { cwd: home() });
    expectWork(result);
    assert.match(
      result.stderr,
      /keep_awake=on has no effect: \/dev\/cpu_dma_latency can't be opened \(E\w+\)/,
    );
  });

  it('mounts directly in a user namespace', async (t) => {
    if (reason !== null) return t.skip(reason);
    const probe = await run('setpriv', [...AS_NOBODY, 'unshare', '-Ur', '-m', 'true']);
    if (probe.code !== 0) return t.skip(`no user namespaces here: ${probe.stderr}`);
    expectWork(await runAs(['setpriv', ...AS_NOBODY, 'unshare', '-Ur', '-m'], home()));
  });
});
