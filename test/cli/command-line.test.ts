/** The command as a user sees it: what it prints, its exit code, what is mounted afterwards. */
import assert from 'node:assert/strict';
import {
  chmodSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { after, before, describe, it, type TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import { plyfs } from '../support/drivers.js';
import {
  must,
  processesWith,
  processGone,
  type RunOptions,
  type RunResult,
  run,
  sh,
  until,
} from '../support/exec.js';
import { Scratch } from '../support/scratch.js';
import { isMounted } from '../support/session-server.js';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));
const COMMAND = `${ROOT}scripts/plyfs`;
const NOBODY = 65534;

const scratch = new Scratch();
let reason: string | null = null;
/** Layers in one directory, which is the working directory of most commands. */
const home = scratch.directory('home');

before(async () => {
  reason = await plyfs.unavailable();
  for (const name of ['l1', 'l2', 'up', 'work', 'mnt']) mkdirSync(`${home}/${name}`);
  writeFileSync(`${home}/l1/one`, 'one\n');
  writeFileSync(`${home}/l2/two`, 'two\n');
  writeFileSync(`${home}/file`, '');
  chmodSync(scratch.path, 0o755);
});
after(() => scratch.dispose());

function command(args: readonly string[], options: RunOptions = {}): Promise<RunResult> {
  return run(COMMAND, args, { cwd: home, ...options });
}

/** A test that mounts at `mnt`; nothing is mounted there afterwards. */
function mounting(name: string, test: (mnt: string, t: TestContext) => Promise<void>): void {
  it(name, async (t) => {
    if (reason !== null) return t.skip(reason);
    const mnt = `${home}/mnt`;
    try {
      await test(mnt, t);
    } finally {
      if (isMounted(mnt)) await run('umount', ['-l', mnt]);
    }
  });
}

const WRITABLE = 'lowerdir=l1:l2,upperdir=up,workdir=work';

describe('plyfs', () => {
  it('prints help with examples, and its version', async () => {
    const help = await command(['--help']);
    assert.equal(help.code, 0);
    assert.deepEqual(await command(['help']), help);
    for (const name of ['mount', 'diff'])
      assert.deepEqual(await command(['help', name]), await command([name, '--help']), name);
    for (const word of ['mount', 'umount', '--lower', 'Exit codes', 'Examples:', 'mount -t fuse.plyfs']) {
      const text = word === '--lower' ? (await command(['mount', '--help'])).stdout : help.stdout;
      assert.ok(text.includes(word), `${word} is missing in\n${text}`);
    }
    const { version } = JSON.parse(readFileSync(`${ROOT}package.json`, 'utf8')) as { version: string };
    for (const word of ['-V', '--version']) {
      assert.ok((await command([word])).stdout.includes(version), word);
    }
  });

  it('takes words after -- as paths, whatever they begin with', async () => {
    mkdirSync(`${home}/-l1`);
    mkdirSync(`${home}/-file`);
    expectSentence(await command(['umount', '--', '-file']), 1, /nothing is mounted at '\.\/-file'/);
    expectSentence(
      await command(['mount', '--lower', 'l1', '--', '-missing']),
      1,
      /the mount point '\.\/-missing' does not exist; create it/,
    );
    expectSentence(await command(['mount', '--lower', 'l1', 'a', '--', '-b']), 2, /unknown argument/);
    const listed = await command(['diff', '--lower', 'l2', '--', '-l1']);
    assert.deepEqual([listed.code, listed.stdout, listed.stderr], [0, 'no changes\n', '']);
  });

  const usage: Record<string, readonly string[]> = {
    'no mount point': ['-o', 'lowerdir=l1'],
    'too many words': ['-o', 'lowerdir=l1', 'a', 'b', 'mnt'],
    'an unknown option': ['--frobnicate', 'mnt'],
    'a command without its mount point': ['mount', '--lower', 'l1'],
    'lowers given in two ways': ['mount', '--lower', 'l1', '-o', 'ro,lowerdir=l2', 'mnt'],
    'an invalid choice': ['mount', '--lower', 'l1', '--data', 'loud', 'mnt'],
    'an option of mount at umount': ['umount', '--log-level', 'info', 'mnt'],
    'a bad log level': ['--log-level', 'loud', '-o', 'lowerdir=l1', 'mnt'],
  };
  for (const [name, args] of Object.entries(usage)) {
    it(`ends with 2 for ${name}`, async () => expectSentence(await command(args), 2, /./));
  }
  it('names an unknown command, and an option that took the mount point as its value', async () => {
    expectSentence(await command(['mont', '--lower', 'l1', 'mnt']), 2, /unknown command 'mont'/);
    expectSentence(await command(['help', 'mont']), 2, /unknown command 'mont'/);
    expectSentence(await command(['mount', '--lower', 'l1', '--frob', 'mnt']), 2, /unknown argument: frob/);
    expectSentence(await command(['umount', '-x', 'mnt']), 2, /unknown argument: x/);
  });
});

function expectSentence(result: RunResult, code: number, sentence: RegExp): void {
  assert.equal(result.code, code, result.stderr);
  assert.match(result.stderr, sentence);
  assert.match(result.stderr, /^plyfs: [^\n]+\.\n$/, 'exactly one sentence');
  assert.equal(isMounted(`${home}/mnt`), false);
}

describe('a mount that fails', () => {
  const cases: Record<string, readonly [readonly string[], RegExp]> = {
    'an unknown mount option': [['-o', 'lowerdir=l1:l2,frob=1', 'mnt'], /unknown option 'frob=1'/],
    'a bad value': [['-o', 'lowerdir=l1:l2,xino=maybe', 'mnt'], /xino.*maybe/],
    'a missing lower': [['-o', 'lowerdir=l1:l9', 'mnt'], /l9.*does not exist/],
    'a missing mount point': [['-o', 'lowerdir=l1:l2', 'nowhere'], /mount point 'nowhere' does not exist/],
    'a name with a newline': [['-o', 'lowerdir=l1', 'no\nwhere'], /mount point 'no\\x0awhere' does not/],
    'no name': [['-o', 'lowerdir=l1', ''], /the mount point is empty; name a directory/],
    'an option of other filesystems': [['-o', 'lowerdir=l1,uid=7', 'mnt'], /'uid=7'; 'squash_to_uid=ID'/],
    'a mount point that is a file': [
      ['-o', 'lowerdir=l1:l2', 'file'],
      /mount point 'file' is not a directory/,
    ],
    'a mount point in /proc': [
      ['-o', 'lowerdir=l1', '/proc'],
      /the mount point '\/proc' is in \/proc, which the server itself needs/,
    ],
    'an upper without work': [['-o', 'lowerdir=l1,upperdir=up', 'mnt'], /workdir/],
    'a log file that can not be made': [
      ['--log-file', 'nowhere/log', '-o', 'lowerdir=l1:l2', 'mnt'],
      /log file 'nowhere\/log': its directory does not exist/,
    ],
  };
  for (const [name, [args, sentence]] of Object.entries(cases)) {
    it(`says so: ${name}`, async (t) => {
      if (reason !== null) return t.skip(reason);
      expectSentence(await command(args), 1, sentence);
    });
  }

  it('says so when started by node itself', async (t) => {
    if (reason !== null) return t.skip(reason);
    const main = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
    const result = await run(process.execPath, [main, '-o', 'lowerdir=l1:l9', 'mnt'], { cwd: home });
    expectSentence(result, 1, /l9.*does not exist/);
  });

  mounting('says so: something is already mounted there', async (mnt) => {
    await must(COMMAND, ['-o', 'lowerdir=l1:l2', mnt], { cwd: home });
    const second = await command(['-o', 'lowerdir=l1:l2', mnt]);
    assert.equal(second.code, 1);
    assert.match(second.stderr, /has a plyfs mount already; unmount that first/);
  });

  it('says so: a user without permission', async (t) => {
    if (reason !== null) return t.skip(reason);
    if ((statSync('/dev/fuse').mode & 0o007) === 0o006) return t.skip('everyone may use /dev/fuse here');
    const drop = ['--reuid', String(NOBODY), '--regid', String(NOBODY), '--clear-groups'];
    const result = await run('setpriv', [...drop, COMMAND, '-o', 'lowerdir=l1:l2', 'mnt'], { cwd: home });
    expectSentence(result, 1, /mnt.*(denied|permitted)/i);
  });
});

it('warns of data=passthrough where it can not be had', async (t) => {
  if (reason !== null) return t.skip(reason);
  const words = ['-Ur', '-m', 'sh', '-c', '"$0" -o lowerdir=l1,data=passthrough mnt; umount mnt', COMMAND];
  if ((await run('unshare', ['-Ur', '-m', 'true'])).code !== 0) return t.skip('no user namespaces');
  const result = await run('unshare', words, { cwd: home, timeout: 30_000 });
  assert.match(result.stderr, /^plyfs: warning: data=passthrough has no effect: [^\n]+\n$/);
  assert.equal(result.code, 0);
});

describe('a mount in the background', () => {
  mounting('has a name in the mount table even when it is given an empty one', async (mnt) => {
    const result = await command(['-o', 'lowerdir=l1:l2', '', mnt]);
    assert.equal(result.code, 0, result.stderr);
    assert.match(readFileSync('/proc/self/mountinfo', 'latin1'), / - fuse\.plyfs plyfs /);
  });

  mounting('is ready when the command has ended, and is listed in mountinfo', async (mnt) => {
    const result = await command(['-o', WRITABLE, '-o', 'nosuid,noatime', 'source', mnt]);
    assert.deepEqual([result.code, result.stdout, result.stderr], [0, '', '']);
    assert.equal(await must('cat', [`${mnt}/one`, `${mnt}/two`]), 'one\ntwo\n');
    const line = readFileSync('/proc/self/mountinfo', 'latin1')
      .split('\n')
      .find((l) => l.includes(mnt));
    assert.match(line!, / rw,nosuid,noatime - fuse\.plyfs source rw,.*default_permissions,allow_other/);
    await must('sh', ['-c', `echo new >${mnt}/three`]);
    assert.equal(readFileSync(`${home}/up/three`, 'utf8'), 'new\n');
    await must('umount', [mnt]);
    await processGone(mnt);
  });

  mounting('can be made by the long form, and ended by plyfs umount', async (mnt) => {
    const words = ['--lower', 'l1', '--lower', 'l2', '--upper', 'up', '--work', 'work'];
    assert.equal((await command(['mount', ...words, 'mnt'])).code, 0);
    assert.equal(await must('cat', [`${mnt}/two`]), 'two\n');
    const busy = await run(COMMAND, ['umount', mnt], { cwd: mnt });
    assert.equal(busy.code, 1);
    assert.match(busy.stderr, /^plyfs: .*mnt is busy: [^\n]+\.\n$/);
    assert.equal((await command(['umount', 'mnt'])).code, 0);
    assert.equal(isMounted(mnt), false);
    expectSentence(await command(['umount', 'mnt']), 1, /nothing is mounted/);
  });

  mounting('holds no descriptor and no directory of its caller', async (mnt) => {
    // The pipe of $(...) stays open as long as any process holds it, under any descriptor number.
    const script = `exec 7>&1 30>&1; x=$(${COMMAND} -o lowerdir=l1:l2 ${mnt} 7>&1 30>&1 2>&1); echo "done $x"`;
    const result = await run('bash', ['-c', script], { cwd: home });
    assert.equal(result.stdout, 'done \n', result.stderr);
    assert.equal(result.timedOut, false);
    assert.equal(await must('cat', [`${mnt}/one`]), 'one\n');
    const [server] = processesWith(`main.js -o lowerdir=l1:l2 ${mnt}`);
    assert.equal(readlinkSync(`/proc/${server}/cwd`), '/');
  });

  mounting('writes whiteouts as .wh. names if the environment says so', async (mnt) => {
    const options = 'lowerdir=l1:l2,upperdir=up,workdir=work';
    const ran = await command(['-o', options, mnt], { env: { FUSE_OVERLAYFS_DISABLE_OVL_WHITEOUT: '1' } });
    assert.equal(ran.code, 0, ran.stderr);
    await must('rm', [`${mnt}/two`]);
    await must('umount', [mnt]);
    assert.ok(readdirSync(`${home}/up`).includes('.wh.two'));
    await must('rm', [`${home}/up/.wh.two`]);
  });

  mounting('accepts names that are not UTF-8', async () => {
    const script = `d=$(printf 'caf\\351,x:y'); mkdir "$d" "$d/l"; echo hi >"$d/l/f"
      ${COMMAND} -o "lowerdir=$(printf 'caf\\351\\\\,x\\\\:y')/l,ro" mnt && cat mnt/f`;
    const result = await sh(script, { cwd: home });
    assert.equal(result.stdout, 'hi\n', result.stderr);
  });

  for (const word of ['remount', 'debug']) {
    mounting(`takes a comma in a name literally, with ${word} after it`, async (mnt) => {
      mkdirSync(`${home}/a,${word}`);
      const ran = await command(['-o', `lowerdir=l1:a\\,${word}`, mnt]);
      assert.deepEqual([ran.code, ran.stderr, ran.timedOut], [0, '', false]);
      assert.equal(await must('cat', [`${mnt}/one`]), 'one\n');
    });
  }

  mounting('writes JSON lines to its log file', async (mnt) => {
    assert.equal((await command(['--log-file', 'log', '-o', 'lowerdir=l1:l2', mnt])).code, 0);
    await must('umount', [mnt]);
    await processGone(mnt);
    const lines = readFileSync(`${home}/log`, 'utf8').trim().split('\n');
    const texts = lines.map((line) => (JSON.parse(line) as { msg: string }).msg);
    // The first is written while INIT is served, before any event is handled.
    for (const text of ['FUSE connection', 'mounted', 'unmounted'])
      assert.ok(texts.includes(text), texts.join());
  });

  mounting('shows a link count of 1 for every directory with static_nlink', async (mnt) => {
    mkdirSync(`${home}/l1/dir/sub`, { recursive: true });
    for (const [option, links] of [
      ['', '3'],
      [',static_nlink', '1'],
    ]) {
      assert.equal((await command(['-o', `lowerdir=l1:l2${option}`, 'mnt'])).code, 0);
      assert.equal((await must('stat', ['-c', '%h', `${mnt}/dir`])).trim(), links);
      await must('umount', [mnt]);
    }
  });
});

describe('a dead mount', () => {
  mounting('is reported as such, and unmounted like any other', async (mnt) => {
    await must(COMMAND, ['-o', 'lowerdir=l1:l2', mnt], { cwd: home });
    for (const server of processesWith(mnt)) process.kill(server, 'SIGKILL');
    await until('an error of ls', async () => (await run('ls', [mnt])).code !== 0);
    const again = await command(['-o', 'lowerdir=l1:l2', mnt]);
    assert.equal(again.code, 1);
    assert.match(again.stderr, /^plyfs: the mount point \S+ holds a dead mount; [^\n]+\n$/);
    assert.equal((await command(['umount', mnt])).code, 0);
    assert.equal(isMounted(mnt), false);
  });
});

describe('signals', () => {
  /** Serves in the foreground under a shell that prints the exit code. */
  async function foreground(mnt: string, script: string, options = ''): Promise<RunResult> {
    const start = `${COMMAND} -f ${options} -o lowerdir=l1:l2 mnt & p=$!; until mountpoint -q ${mnt}; do sleep 0.05; done; `;
    return await sh(`${start}${script}; wait $p; echo "code $?"`, { cwd: home });
  }

  for (const signal of ['TERM', 'INT', 'HUP']) {
    mounting(`SIG${signal} unmounts`, async (mnt) => {
      const result = await foreground(mnt, `kill -${signal} $p`);
      assert.equal(result.stdout, 'code 0\n', result.stderr);
      assert.equal(isMounted(mnt), false);
    });
  }

  mounting('a busy mount says so; the second signal detaches it', async (mnt) => {
    const log = `${home}/busy.log`;
    const script = `cd ${mnt}; kill $p; until grep -q 'is busy' ${log}; do sleep 0.05; done; cat one
      kill $p; while mountpoint -q ${mnt}; do sleep 0.05; done; cat two; cd /`;
    const result = await foreground(mnt, script, `--log-file ${log}`);
    assert.equal(result.stdout, 'one\ntwo\ncode 0\n', result.stderr);
    assert.equal(isMounted(mnt), false);
  });

  mounting('the debug option traces requests, and stays in the foreground', async (mnt) => {
    const script = `${COMMAND} -d -o lowerdir=l1:l2 mnt & p=$!; until mountpoint -q ${mnt}; do sleep 0.05; done
      cat ${mnt}/one; umount ${mnt}; wait $p; echo "code $?"`;
    const result = await sh(script, { cwd: home });
    assert.equal(result.stdout, 'one\ncode 0\n', result.stderr);
    assert.match(result.stderr, /LOOKUP node 1 "one"/);
  });
});
