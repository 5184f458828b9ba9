/** `plyfs run`: over this machine's own root, and over layers; nothing remains of it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { after, before, describe, it } from 'node:test';
import type { RunResult } from '../../src/run/run.js';
import { must, run, until } from '../support/exec.js';
import { Scratch } from '../support/scratch.js';
import { missingTools } from '../support/table.js';
import { CLI, cannotMount, shell, tool, toolJson } from './support.js';

describe('plyfs run', () => {
  const scratch = new Scratch();
  let reason: string | null = null;
  before(async () => {
    reason = await cannotMount();
    if ((await missingTools(['unshare'])).length > 0) reason ??= 'not installed: unshare';
    const allowed = await shell('unshare --mount --pid --fork true && echo yes || echo no').catch(() => 'no');
    if (!allowed.startsWith('yes')) reason ??= 'namespaces can not be made here';
  });
  after(() => scratch.dispose());
  const marker = `plyfs-run-${process.pid}`;

  it('shows what a command changed on this machine, and leaves the machine as it was', async (t) => {
    if (reason !== null) return t.skip(reason);
    const home = scratch.directory('scratch');
    const args = ['run', '--scratch', home];
    const script = `echo out; echo hi > /etc/${marker}; rm -f /etc/passwd; touch here; ls /dev/pts >/dev/null; test $$ -lt 99; exit 3`;
    const result = await tool([...args, '--', '/bin/sh', '-c', script], { cwd: '/etc' });
    assert.equal(result.code, 3, result.stderr);
    assert.equal(result.stdout, 'out\n');
    const lines = result.stderr.split('\n');
    for (const line of [`A  etc/${marker}  3 B`, 'A  etc/here'])
      assert.ok(
        lines.some((one) => one.replace(/ +/g, ' ').startsWith(line.replace(/ +/g, ' '))),
        result.stderr,
      );
    assert.match(result.stderr, /^D {2}etc\/passwd .*-\d/m);
    assert.ok(existsSync('/etc/passwd') && !existsSync(`/etc/${marker}`));
    assert.deepEqual(readdirSync(home), []);
    assert.equal(readFileSync('/proc/self/mountinfo', 'latin1').includes(home), false);
  });

  it('has no network unless asked, no disks, and a root that can be read-only', async (t) => {
    if (reason !== null) return t.skip(reason);
    const look =
      'ls /sys/class/net; ls /dev | grep -c "^[svh]d" || true; touch /x 2>/dev/null || echo read-only; ls /proc | grep -c "^[0-9]" ';
    const args = ['run', '--scratch', scratch.directory('s'), '--read-only', '--', '/bin/sh', '-c', look];
    const result = await tool(args);
    assert.match(result.stdout, /\n0\nread-only\n[1-9]\n$/);
    assert.equal(result.stderr, '');
  });

  it('shows the filesystem of the working directory, whatever its name', async (t) => {
    if (reason !== null) return t.skip(reason);
    const home = scratch.directory('grün');
    const command = `'${process.execPath}' '${CLI}' run --drop --scratch '${scratch.directory('s')}' -- cat mine`;
    const script = `mount -t tmpfs none '${home}' && cd '${home}' && echo mine > mine && ${command}`;
    const result = await run('unshare', ['--mount', '--propagation=private', 'sh', '-c', script]);
    assert.equal(result.stdout, 'mine\n', result.stderr);
  });

  it('covers a second filesystem for an ordinary user, too', async (t) => {
    if (reason !== null) return t.skip(reason);
    const allowed = 'unshare -m setpriv --reuid 54321 --clear-groups unshare -Ur -m true';
    if ((await run('sh', ['-c', allowed])).code !== 0) return t.skip('no user namespaces for ordinary users');
    const home = scratch.directory('user');
    const command = `'${process.execPath}' '${CLI}' run --drop -- sh -c 'echo new > mine; id -u; exit 7'`;
    const user = 'setpriv --reuid 54321 --regid 54321 --clear-groups';
    // With a /dev/fuse for everyone, which not every machine has.
    const script = `
      chmod 755 '${scratch.path}'; mount -t tmpfs none '${home}'; cd '${home}'
      mkdir s; echo mine > mine; chown -R 54321:54321 .
      mknod fuse c 10 229; chmod 666 fuse; mount --bind fuse /dev/fuse
      TMPDIR=$PWD/s ${user} ${command}`;
    const result = await run('unshare', ['--mount', '--propagation=private', 'sh', '-ec', script]);
    assert.deepEqual([result.code, result.stdout], [7, '0\n'], result.stderr);
    assert.match(result.stderr, /^C {2}\S*mine {2,}5 B -> 4 B {2}content, mtime\n1 changed; [^\n]+\n$/);
  });

  it('accepts a relative --scratch', async (t) => {
    if (reason !== null) return t.skip(reason);
    const home = scratch.directory('relative');
    mkdirSync(`${home}/s`);
    const result = await tool(['run', '--scratch', 's', '--', 'echo', 'ran'], { cwd: home });
    assert.equal(result.stdout, 'ran\n', result.stderr);
    assert.deepEqual(readdirSync(`${home}/s`), []);
  });

  it('runs nothing where the working directory has no UTF-8 name, or is gone', async (t) => {
    if (reason !== null) return t.skip(reason);
    const command = `'${process.execPath}' '${CLI}' run --drop --scratch '${scratch.directory('s')}' -- pwd 2>&1`;
    const said = await shell(`cd ${scratch.directory('nameless')}; mkdir "$(printf 'caf\\351')" gone
      cd caf*; ${command} || echo $?; cd ../gone; rmdir ../gone; ${command} || echo $?`);
    assert.match(
      said,
      /^plyfs: can't run in a directory whose name is no UTF-8[^\n]*\n125\nplyfs: [^\n]*it does not exist\.\n125\n$/,
    );
  });

  it('keeps the changes, or commits them to the topmost lower', async (t) => {
    if (reason !== null) return t.skip(reason);
    const home = scratch.directory('s');
    const lower = scratch.directory('lower');
    mkdirSync(`${lower}/mine`);
    writeFileSync(`${lower}/mine/old`, 'old');
    const base = ['run', '--scratch', home, '--lower', lower, '--lower', '/'];
    const script = ['--', '/bin/sh', '-c', 'rm /mine/old; echo new > /mine/new'];
    const kept = await toolJson<RunResult>(
      [...base.slice(0, 1), '--json', ...base.slice(1), '--keep', ...script].filter((w) => w !== ''),
    );
    assert.deepEqual(
      kept.changes.map(({ kind, path }) => `${kind} ${path}`),
      ['added mine/new', 'deleted mine/old'],
    );
    assert.equal(readFileSync(`${kept.kept![0]!.upper}/mine/new`, 'utf8'), 'new\n');
    assert.deepEqual(readdirSync(`${lower}/mine`), ['old']);
    const committed = await tool([...base, '--commit', ...script]);
    assert.match(committed.stderr, /\ncommitted\n$/);
    const nothing = await tool([...base, '--commit', '--', '/bin/true']);
    assert.equal(nothing.stderr, 'no changes\n');
    assert.equal((await tool([...base, '--keep', '--', '/bin/true'])).stderr, 'no changes\n');
    assert.equal(readdirSync(home).length, 1);
    assert.deepEqual(readdirSync(`${lower}/mine`), ['new']);
    const upper = `${scratch.path}/upper`;
    // A directory of somebody else, with a name that the work directory might have.
    mkdirSync(`${upper}.plyfs-work`);
    writeFileSync(`${upper}.plyfs-work/precious`, '');
    await tool([...base, '--upper', upper, '--', '/bin/sh', '-c', 'echo again > /mine/again']);
    assert.deepEqual(readdirSync(`${upper}/mine`), ['again']);
    const left = readdirSync(scratch.path).filter((name) => name.startsWith('upper.'));
    assert.deepEqual(left, ['upper.plyfs-work']);
    assert.ok(existsSync(`${upper}.plyfs-work/precious`));
  });

  it('with --upper also keeps the changes on other filesystems, and nothing else', async (t) => {
    if (reason !== null) return t.skip(reason);
    const [home, there] = [scratch.directory('beside'), scratch.directory('other')];
    const upper = `${scratch.path}/named`;
    const command = `'${process.execPath}' '${CLI}' run --upper '${upper}' --scratch '${home}' --`;
    const inside = (script: string): Promise<{ stderr: string }> =>
      run('unshare', [
        ...['--mount', '--propagation=private', 'sh', '-c'],
        `mount -t tmpfs none '${there}' && cd '${there}' && ${command} /bin/sh -c '${script}'`,
      ]);
    const said = await inside(`echo here > mine; echo there > /etc/${marker}`);
    const place = new RegExp(`^changes of ${there} are kept in (\\S+)$`, 'm').exec(said.stderr)?.[1];
    assert.equal(readFileSync(`${place}/mine`, 'utf8'), 'here\n', said.stderr);
    assert.equal(readFileSync(`${upper}/etc/${marker}`, 'utf8'), 'there\n');
    const runs = readdirSync(home).map((name) => `${home}/${name}`);
    assert.deepEqual(
      runs.flatMap((path) => readdirSync(path).map((name) => `${path}/${name}`)),
      [place],
    );
    for (const path of runs) rmSync(path, { recursive: true });
    const again = await inside('true');
    assert.match(again.stderr, new RegExp(`changes of / are kept in ${upper}\n$`));
    assert.deepEqual(readdirSync(home), []);
  });

  /** Runs the command on a terminal of its own and answers its questions; null: hangs up instead of answering. */
  async function onTerminal(args: readonly string[], answers: readonly (string | null)[]): Promise<string> {
    const driver = `
import os, pty, sys, json, signal, re
answers = json.loads(sys.argv[1])
pid, fd = pty.fork()
if pid == 0: os.execv(sys.argv[2], sys.argv[2:])
said = seen = b''
while True:
    try: got = os.read(fd, 4096)
    except OSError: got = b''
    if not got: break
    said += got; seen += got
    if b'DROP] ' in seen and answers:
        answer = answers.pop(0); seen = b''
        if answer is None: os.kill(pid, signal.SIGHUP)
        else: os.write(fd, answer.encode())
said = re.sub('\\x1b\\[[0-9]*[A-Z]|\\r', '', said.decode())
print(said, os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))`;
    return await must('python3', ['-c', driver, JSON.stringify(answers), process.execPath, CLI, ...args]);
  }

  it('asks on a terminal what to do with the changes', async (t) => {
    if (reason !== null) return t.skip(reason);
    if ((await missingTools(['python3'])).length > 0) return t.skip('not installed: python3');
    const home = scratch.directory('asked');
    const lower = scratch.directory('asked-lower');
    const options = ['run', '--scratch', home, '--lower', lower, '--lower', '/'];
    const args = [...options, '--', '/bin/sh', '-c', 'echo new > /new; exit 3'];
    const question = new RegExp(`A +new +4 B\\n1 added.*\\nApply these changes to ${lower}, .*DROP\\] `);
    for (const answer of ['\n', 'drop\n', '\x04', '\x03', null]) {
      const said = await onTerminal(args, [answer]);
      assert.match(said, question);
      assert.match(said, /\ndropped\n 3\n$/, said);
      assert.deepEqual([readdirSync(home), readdirSync(lower)], [[], []]);
    }
    const kept = await onTerminal(args, ['what\n', 'k\n']);
    assert.match(kept, /\nThe answers are: apply, keep, drop\.\n/);
    const upper = /changes of \/ are kept in (\S+)\n 3\n$/.exec(kept)?.[1];
    assert.equal(readFileSync(`${upper}/new`, 'utf8'), 'new\n');
    assert.deepEqual(readdirSync(lower), []);
    assert.match(await onTerminal(args, ['apply\n']), /\ncommitted\n 3\n$/);
    assert.deepEqual(readdirSync(lower), ['new']);
    // No question: there are no changes, or an option has the answer.
    for (const [more, script] of [
      [[], 'true'],
      [['--drop'], 'echo x > /other'],
    ] as const) {
      const said = await onTerminal([...options, ...more, '--', '/bin/sh', '-c', script], []);
      assert.doesNotMatch(said, /Apply/);
    }
    assert.equal((await tool([...options, '--drop', '--keep', '--', 'true'])).code, 125);
  });

  it('ends although a mount namespace that was made meanwhile contains its view', async (t) => {
    if (reason !== null) return t.skip(reason);
    const home = scratch.directory('s');
    const args = ['run', '--drop', '--scratch', home, '--lower', '/', '--', 'cat'];
    const running = spawn(process.execPath, [CLI, ...args], { stdio: ['pipe', 'ignore', 'inherit'] });
    const ended = once(running, 'close');
    const mounts = (pid: number | 'self'): string => readFileSync(`/proc/${pid}/mountinfo`, 'latin1');
    await until('a view', () => mounts('self').includes(home));
    const other = spawn('unshare', ['--mount', '--propagation=private', 'sleep', '600']);
    try {
      const namespace = readlinkSync('/proc/self/ns/mnt');
      await until('a namespace', () => readlinkSync(`/proc/${other.pid}/ns/mnt`) !== namespace);
      assert.ok(mounts(other.pid!).includes(home));
      running.stdin.end();
      let isOver = false;
      void ended.then(() => {
        isOver = true;
      });
      await until('its end', () => isOver);
      assert.deepEqual(await ended, [0, null]);
    } finally {
      other.kill('SIGKILL');
    }
    assert.deepEqual(readdirSync(home), []);
  });

  it('keeps what was written to a mapping', async (t) => {
    if (reason !== null) return t.skip(reason);
    if ((await missingTools(['python3'])).length > 0) return t.skip('not installed: python3');
    const [home, lower] = [scratch.directory('s'), scratch.directory('mapped')];
    writeFileSync(`${lower}/mapped`, 'a'.repeat(1 << 20));
    const write = `import mmap, os
view = mmap.mmap(os.open("/mapped", os.O_RDWR), 1 << 20)
view[:] = b"b" * (1 << 20)
os._exit(0)`;
    const lowers = ['--lower', lower, '--lower', '/'];
    const args = ['run', '--scratch', home, ...lowers, '--commit', '--', 'python3', '-c', write];
    const { code, stderr } = await tool(args);
    assert.equal(code, 0, stderr);
    assert.equal(readFileSync(`${lower}/mapped`, 'latin1'), 'b'.repeat(1 << 20));
  });

  it("has its own exit codes for failures that are not the command's", async (t) => {
    if (reason !== null) return t.skip(reason);
    const args = ['run', '--scratch', scratch.directory('s')];
    assert.equal((await tool(args)).code, 125);
    assert.equal((await tool([...args, '--', '/no/such/program'])).code, 127);
    assert.equal((await tool([...args, '--lower', '/no/such/lower', '--', 'true'])).code, 125);
    assert.equal((await tool([...args, '--', '/bin/sh', '-c', 'kill -9 $$'])).code, 137);
    const home = scratch.directory('s');
    const twice = ['run', '--keep', '--scratch', home, '--lower', '/etc', '--lower', '/etc', '--', 'true'];
    assert.equal((await tool(twice)).code, 125);
    assert.deepEqual(readdirSync(home), []);
  });
});
