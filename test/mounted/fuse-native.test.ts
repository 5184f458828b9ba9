/**
 * The fuse-native transport: what is particular about it. A few steps demonstrate each of its limits
 * (src/fuse-native/capabilities.ts), so that the table contains no limit that is gone or was never true.
 */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmodSync, existsSync, mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { fileURLToPath } from 'node:url';
import { LIMITS, type Limit } from '../../src/fuse-native/capabilities.js';
import { fuseNative, plyfs } from '../support/drivers.js';
import { must, processGone, type RunResult, run, sh, until } from '../support/exec.js';
import { Fixture } from '../support/fixture.js';
import { Scratch } from '../support/scratch.js';
import { isMounted } from '../support/session-server.js';
import { missingTools } from '../support/table.js';

const CLI = fileURLToPath(new URL('../../src/cli/main.js', import.meta.url));
const API = fileURLToPath(new URL('../support/api-main.js', import.meta.url));
const NOTES = fileURLToPath(new URL('../../../native-notes/fuse-native.md', import.meta.url));
/** user::rw-,group::r--,other::r--: the same as the mode, so nothing is stored. */
const ACL = '%02%00%00%00%01%00%06%00%ff%ff%ff%ff%04%00%04%00%ff%ff%ff%ff%20%00%04%00%ff%ff%ff%ff';
const HIDDEN = '.fuse_hidden0000000200000001';

/** Steps (test/support/words.ts) and their results: with this transport, and with the kernel's protocol. */
interface Demonstration {
  readonly steps: readonly string[];
  readonly gives: readonly string[];
  readonly byKernel: readonly string[];
}

const DEMONSTRATIONS: Partial<Record<Limit, Demonstration>> = {
  'non-utf8-names': {
    steps: ['stat bytes/%ff size', 'list bytes', 'symlink %ff link-of-bytes'],
    gives: ['EILSEQ', 'EILSEQ', 'EILSEQ'],
    byKernel: ['size=1', '"\\xff"', 'ok'],
  },
  'rename-flags': {
    steps: ['put r/a x', 'put r/b y', 'rename r/a r/b EXCHANGE', 'rename r/a r/c NOREPLACE'],
    gives: ['1', '1', 'EINVAL', 'EINVAL'],
    byKernel: ['1', '1', 'ok', 'ok'],
  },
  nanoseconds: {
    steps: ['utimens f 5.123456789 6.987654321', 'stat f atime,mtime'],
    gives: ['ok', 'atime=5.123000000 mtime=6.987000000'],
    byKernel: ['ok', 'atime=5.123456789 mtime=6.987654321'],
  },
  'one-time-alone': {
    steps: ['utimens f 5.0 6.0', 'utimens f omit 7.0', 'stat f mtime'],
    gives: ['ok', 'ok', 'mtime=6.000000000'],
    byKernel: ['ok', 'ok', 'mtime=7.000000000'],
  },
  'times-before-1970': {
    steps: ['utimens f -5.0 -6.0', 'stat f mtime'],
    gives: ['ok', 'mtime=0.000000000'],
    byKernel: ['ok', 'mtime=-6.000000000'],
  },
  acl: {
    steps: [`setxattr f system.posix_acl_access ${ACL}`, 'getxattr f system.posix_acl_access'],
    gives: ['EOPNOTSUPP', 'EOPNOTSUPP'],
    byKernel: ['ok', 'ENODATA'],
  },
  fallocate: {
    steps: ['open u f RDWR', 'fallocate u 0 0 65536', 'close u'],
    gives: ['ok', 'EOPNOTSUPP', 'ok'],
    byKernel: ['ok', 'ok', 'ok'],
  },
  'seek-holes': {
    steps: ['put s xyz', 'truncate s 1048576', 'open u s RDONLY', 'lseek u 0 HOLE', 'close u'],
    gives: ['3', 'ok', 'ok', '1048576', 'ok'],
    byKernel: ['3', 'ok', 'ok', '4096', 'ok'],
  },
  'copy-file-range': {
    steps: ['put c 1234', 'open u c RDONLY', 'open v c2 RDWR|CREAT', 'copyrange u 0 v 0 4', 'cat c2'],
    gives: ['4', 'ok', 'ok', '4', '"1234"'],
    byKernel: ['4', 'ok', 'ok', '4', '"1234"'],
  },
  tmpfile: {
    steps: ['open u . RDWR|TMPFILE'],
    gives: ['EOPNOTSUPP'],
    byKernel: ['ok'],
  },
  syncfs: {
    steps: ['open u f RDONLY', 'syncfs u', 'fsync u'],
    gives: ['ok', 'ok', 'ok'],
    byKernel: ['ok', 'ok', 'ok'],
  },
  'hidden-names': {
    steps: [`put ${HIDDEN} x`, `rename f ${HIDDEN}`],
    gives: ['EPERM', 'EPERM'],
    byKernel: ['1', 'ok'],
  },
  'remove-directory-of-unlinked': {
    steps: [
      'put g/f x',
      'open u g/f RDWR',
      'unlink g/f',
      'rmdir g',
      'read u',
      'write u 1 y',
      'read u',
      'close u',
    ],
    gives: ['1', 'ok', 'ok', 'EBUSY', '"x"', '1', '"xy"', 'ok'],
    byKernel: ['1', 'ok', 'ok', 'ok', '"x"', '1', '"xy"', 'ok'],
  },
};

const scratch = new Scratch();
let reason: string | null = null;
before(async () => {
  reason = await fuseNative.unavailable();
});
after(() => scratch.dispose());

const LOWER = ['put f text', 'put bytes/%ff x', 'put d/g x'];

describe('a limit of fuse-native', () => {
  const fixtures = [fuseNative, plyfs].map(
    (driver) => new Fixture(new Scratch(), driver, { lower: [LOWER] }),
  );
  before(async () => {
    if (reason === null) for (const fixture of fixtures) await fixture.mount();
  });
  after(async () => {
    for (const fixture of fixtures) {
      await fixture.dispose();
      fixture.scratch.dispose();
    }
  });
  for (const [limit, { steps, gives, byKernel }] of Object.entries(DEMONSTRATIONS)) {
    it(limit, async (t) => {
      if (reason !== null) return t.skip(reason);
      for (const [fixture, expected] of [
        [fixtures[0]!, gives],
        [fixtures[1]!, byKernel],
      ] as const) {
        const reports = await fixture.steps(steps);
        assert.deepEqual(
          reports.map((report) => report.result),
          expected,
          fixture.driver.name,
        );
      }
    });
  }

  it('each is in the notes', () => {
    const notes = readFileSync(NOTES, 'utf8');
    for (const limit of Object.keys(LIMITS)) assert.ok(notes.includes(`\`${limit}\``), limit);
  });
});

/** Layers and a mount point whose name is given. */
interface Place {
  readonly path: string;
  readonly at: string;
  readonly options: string;
}

function place(mountpoint = 'mnt'): Place {
  const path = scratch.directory('place');
  for (const name of ['lower', 'upper', 'work', mountpoint]) mkdirSync(`${path}/${name}`);
  writeFileSync(`${path}/lower/file`, 'lower\n');
  const options = `lowerdir=${path}/lower,upperdir=${path}/upper,workdir=${path}/work`;
  return { path, at: `${path}/${mountpoint}`, options };
}

function command(...args: string[]): Promise<RunResult> {
  return run(process.execPath, [CLI, ...args]);
}

/** Runs a test on a fuse-native mount of its own. */
function withMount(
  name: string,
  options: string,
  test: (place: Place) => Promise<void>,
  needs: readonly string[] = [],
): void {
  it(name, async (t) => {
    if (reason !== null) return t.skip(reason);
    const missing = await missingTools(needs);
    if (missing.length > 0) return t.skip(`not installed: ${missing.join(', ')}`);
    const here = place();
    await must(process.execPath, [CLI, '--transport', 'fuse-native', '-o', here.options + options, here.at]);
    try {
      await test(here);
    } finally {
      if (isMounted(here.at)) await run('umount', ['-l', here.at]);
    }
  });
}

const NOBODY = ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'];

describe('a fuse-native mount', () => {
  withMount('an upper on it is refused: it knows no flags of rename', '', async (here) => {
    for (const name of ['up', 'wk', 'second']) mkdirSync(`${here.path}/upper/${name}`);
    const options = `lowerdir=${here.path}/lower,upperdir=${here.at}/up,workdir=${here.at}/wk`;
    const { code, stderr } = await command('-o', options, `${here.path}/upper/second`);
    assert.equal(code, 1);
    assert.match(stderr, /is on a filesystem that can't exchange two names \(renameat2 with flags\)/);
  });

  withMount(
    'lets only the mounting user in',
    '',
    async ({ at }) => {
      const [program = '', ...args] = [...NOBODY, 'cat', `${at}/file`];
      assert.match((await run(program, args)).stderr, /Permission denied/);
      assert.equal((await command('umount', at)).code, 0);
    },
    ['setpriv'],
  );

  withMount(
    'with allow_other gives what anyone creates to that user',
    ',allow_other',
    async ({ path, at }) => {
      await must('chmod', ['1777', at]);
      await must('chmod', ['755', path, scratch.path]);
      const [program = '', ...args] = [...NOBODY, 'sh', '-c', `: > ${at}/theirs`];
      await must(program, args);
      assert.equal(await must('stat', ['-c', '%u:%g', `${at}/theirs`]), '0:0\n');
      const born = await run('python3', ['-c', `import os; os.open("${at}/suid", os.O_CREAT, 0o4755)`]);
      assert.match(born.stderr, /PermissionError/);
    },
    ['setpriv', 'python3'],
  );

  withMount('keeps an unlinked open file out of the upper layer', '', async ({ path, at }) => {
    const script = `cd ${at}; mkdir d; echo text >d/f; exec 3<>d/f; rm d/f; ls -a d; cat <&3; ls -A ${path}/upper/d`;
    assert.equal((await sh(script)).stdout, '.\n..\ntext\n');
  });

  withMount('opens a lower file for writing while a reader has it open', '', async ({ at }) => {
    const script = `cd ${at}; exec 3<file; exec 4<>file; exec 5<file; echo x >&4; cat <&3; cat <&5; cat file`;
    assert.equal((await sh(script)).stdout, 'x\nwer\n'.repeat(3));
  });

  withMount('sees a change through every hard link at once', '', async ({ at }) => {
    const script = `cd ${at}; echo 1 >a; ln a b; cat b; echo 22 >>a; cat b; stat -c %s b; chmod 600 b; stat -c %a a`;
    assert.equal((await sh(script)).stdout, '1\n1\n22\n5\n600\n');
  });

  withMount('copies a large file up and flushes it while others are served', '', async ({ path, at }) => {
    await must('truncate', ['-s', '3M', `${path}/lower/big`]);
    await must('dd', ['if=/dev/urandom', `of=${path}/lower/large`, 'bs=1M', 'count=96', 'status=none']);
    const script = `cd ${at}; (printf x | dd of=large bs=1 seek=9 conv=notrunc,fsync status=none) &
      i=0; while [ $i -lt 20 ]; do cat file >/dev/null; i=$((i+1)); done; wait; stat -c %s large
      cmp -i 10 large ${path}/lower/large && echo same`;
    assert.equal((await sh(script)).stdout, `${96 << 20}\nsame\n`);
  });

  withMount('ends when anyone unmounts, and says when it is busy', '', async ({ at }) => {
    const guest = spawn('sleep', ['600'], { cwd: at });
    const busy = await command('umount', at);
    guest.kill('SIGKILL');
    assert.match(busy.stderr, /is busy/);
    await until(`umount ${at}`, async () => (await run('umount', [at])).code === 0);
    assert.equal(isMounted(at), false);
    await processGone(at);
  });

  it('may be unmounted as soon as it is ready', async (t) => {
    if (reason !== null) return t.skip(reason);
    const { at, options } = place();
    const script = `for i in 1 2 3; do ${process.execPath} ${CLI} --transport fuse-native -o ${options} ${at} 2>/dev/null; umount ${at}; done`;
    assert.equal((await sh(script)).code, 0);
    await processGone(at);
  });

  it('keeps no descriptor of its caller open', async (t) => {
    if (reason !== null) return t.skip(reason);
    const { at, options } = place();
    const script = `x=$(exec 9>&1; ${process.execPath} ${CLI} --transport fuse-native -o ${options} ${at}); echo done`;
    assert.match((await sh(script)).stdout, /^done\n$/);
    await must('umount', [at]);
  });

  withMount('takes options of libfuse', ',ro,nosuid,noexec,fsname=a\\,b', async ({ at }) => {
    assert.match(
      await must('grep', [at, '/proc/self/mountinfo']),
      / ro,nosuid,noexec,.* - fuse\.plyfs a,b ro,/,
    );
    assert.match((await sh(`touch ${at}/new`)).stderr, /Read-only file system/);
  });

  it('may be at a path with shell characters, which no shell sees', async (t) => {
    if (reason !== null) return t.skip(reason);
    const { path, at, options } = place('m $(touch pwned) `touch pwned` "q\' ;touch pwned; ü\n');
    const made = await run(process.execPath, [CLI, '--transport=fuse-native', '-o', options, at], {
      cwd: path,
    });
    assert.equal(made.code, 0, made.stderr);
    assert.equal(readFileSync('/proc/self/mountinfo', 'utf8').includes('$(touch\\040pwned)'), true);
    const gone = await run(process.execPath, [CLI, 'umount', at], { cwd: path });
    assert.equal(gone.code, 0, gone.stderr);
    assert.equal(existsSync(`${path}/pwned`) || existsSync('/pwned'), false);
  });
});

describe('a user without any privilege', () => {
  it('mounts with fuse-native through fusermount', async (t) => {
    if (reason !== null) return t.skip(reason);
    const missing = await missingTools(['setpriv', 'fusermount']);
    if (missing.length > 0) return t.skip(`not installed: ${missing.join(', ')}`);
    const [program = '', ...who] = NOBODY;
    if ((await run(program, [...who, 'test', '-r', CLI])).code !== 0) {
      return t.skip('another user can not read this directory');
    }
    const { path, at, options } = place();
    await must('chmod', ['755', scratch.path]);
    await must('chown', ['-R', '65534:65534', path]);
    // As udev sets it on any desktop or server; without udev only root may open it.
    const mode = statSync('/dev/fuse').mode & 0o7777;
    chmodSync('/dev/fuse', 0o666);
    try {
      const script = `cd ${path}; ${process.execPath} ${CLI} --transport fuse-native -o ${options} ${at} 2>/dev/null || exit 9
        cat mnt/file; echo more >>mnt/file; mkdir mnt/d; cat mnt/file; stat -c %u mnt/d; ${process.execPath} ${CLI} umount mnt`;
      const result = await run(program, [...who, 'sh', '-c', script]);
      assert.equal(result.stdout, 'lower\nlower\nmore\n65534\n', result.stderr);
      assert.equal(isMounted(at), false);
    } finally {
      chmodSync('/dev/fuse', mode);
    }
  });
});

describe('fuse-native says in a sentence', () => {
  for (const [what, options, sentence] of [
    [
      'that it has no passthrough',
      'data=passthrough',
      /^plyfs: data=passthrough needs the transport kernel\.\n$/,
    ],
    [
      'that a transport is unknown',
      'transport=tcp',
      /^plyfs: the option transport is kernel or fuse-native, /,
    ],
  ] as const) {
    it(what, async (t) => {
      if (reason !== null) return t.skip(reason);
      const here = place();
      const result = await command('--transport', 'fuse-native', '-o', `${here.options},${options}`, here.at);
      assert.equal(result.code, 1);
      assert.match(result.stderr, sentence);
      assert.equal(isMounted(here.at), false);
    });
  }

  it('where it can not mount', async (t) => {
    if (reason !== null) return t.skip(reason);
    const bytes = place();
    await must('/bin/sh', ['-c', `mkdir "${bytes.path}/$(printf '\\377')"`]);
    const at = `"${bytes.path}/$(printf '\\377')"`;
    const result = await sh(`${process.execPath} ${CLI} --transport fuse-native -o ${bytes.options} ${at}`);
    assert.match(
      result.stderr,
      /^plyfs: the transport fuse-native can't mount where the path is not UTF-8\.\n$/,
    );
    const over = place();
    await must('mount', ['-t', 'tmpfs', 'none', over.at]);
    try {
      const second = await command('--transport', 'fuse-native', '-o', over.options, over.at);
      assert.match(second.stderr, /can't mount over another mount\.\n$/);
    } finally {
      await must('umount', [over.at]);
    }
  });

  it('that mount flags and times are lost', async (t) => {
    if (reason !== null) return t.skip(reason);
    const here = place();
    const result = await command('--transport', 'fuse-native', '-o', `${here.options},strictatime`, here.at);
    assert.match(result.stderr, /warning: some mount options are unknown to libfuse/);
    assert.match(result.stderr, /warning: libfuse 2\.9 drops changes of atime or mtime alone/);
    assert.equal((await command('umount', here.at)).code, 0);
  });
});

describe('the process that mounted', () => {
  /** Starts a mount in the foreground. */
  async function foreground(here: Place): Promise<ChildProcess> {
    const args = [CLI, '--transport', 'fuse-native', '-f', '-o', here.options, here.at];
    const child = spawn(process.execPath, args, { stdio: 'ignore' });
    await until(`a mount at ${here.at}`, () => isMounted(here.at) || child.exitCode !== null);
    await must('cat', [`${here.at}/file`]);
    return child;
  }

  it('is unmounted when it is killed', async (t) => {
    if (reason !== null) return t.skip(reason);
    const here = place();
    const child = await foreground(here);
    child.kill('SIGKILL');
    await until('the end of the mount', () => !isMounted(here.at));
  });

  it('ends with its mount, and unmounts at a signal', async (t) => {
    if (reason !== null) return t.skip(reason);
    const here = place();
    const child = await foreground(here);
    const ended = new Promise((resolve) => child.on('close', resolve));
    child.kill('SIGTERM');
    assert.equal(await ended, 0);
    assert.equal(isMounted(here.at), false);
  });

  it('notices an abort, and a server that is gone', async (t) => {
    if (reason !== null) return t.skip(reason);
    for (const end of ['abort', 'kill'] as const) {
      const here = place();
      const child = await foreground(here);
      const ended = new Promise((resolve) => child.on('close', resolve));
      if (end === 'abort') await abortMount(here.at);
      else
        process.kill(
          Number(readFileSync(`/proc/${child.pid}/task/${child.pid}/children`, 'latin1')),
          'SIGKILL',
        );
      assert.equal(await ended, 1, end);
      assert.equal(isMounted(here.at), false);
    }
  });

  it('may be a Node program', async (t) => {
    if (reason !== null) return t.skip(reason);
    const paths = ['lower', 'upper', 'work', 'möunt'].map((name) => scratch.directory(name));
    writeFileSync(`${paths[0]}/file`, 'text\n');
    const program = spawn(process.execPath, [API, ...paths], {
      stdio: ['pipe', 'pipe', 'inherit'],
      env: { ...process.env, PLYFS_TEST_TRANSPORT: 'fuse-native' },
    });
    let said = '';
    program.stdout.setEncoding('utf8').on('data', (text: string) => {
      said += text;
    });
    const ended = once(program, 'close');
    await until('the word that it is ready', () => said.includes('\n') || program.exitCode !== null);
    const { stdout } = await run('cat', [`${paths[3]}/file`]);
    program.stdin.end('\n');
    assert.deepEqual([(await ended)[0], stdout], [0, 'text\n']);
    assert.equal(said, `ready ${paths[3]}\nrequests true\nended unmounted\n`);
  });
});

/** As `echo 1 > /sys/fs/fuse/connections/N/abort`, also where nobody has mounted fusectl there. */
async function abortMount(at: string): Promise<void> {
  const line = readFileSync('/proc/self/mountinfo', 'utf8')
    .split('\n')
    .find((l) => l.includes(` ${at} `))!;
  const connections = scratch.directory('fusectl');
  await must('mount', ['-t', 'fusectl', 'none', connections]);
  writeFileSync(`${connections}/${line.split(' ')[2]!.split(':')[1]}/abort`, '1');
  await must('umount', [connections]);
}
