/** What a plain user can do with plyfs: through fusermount3, and as root of a user namespace. */
import assert from 'node:assert/strict';
import { appendFileSync, chmodSync, chownSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, it, type TestContext } from 'node:test';
import { plyfs } from '../support/drivers.js';
import { type RunResult, run, sh } from '../support/exec.js';
import { COMMAND } from '../support/namespace.js';
import { Scratch } from '../support/scratch.js';
import { missingTools } from '../support/table.js';

/** No other user has this number; the name exists only in the namespaces made here. */
const USER = 54321;
const AS_USER = `setpriv --reuid ${USER} --regid ${USER} --clear-groups`;

const scratch = new Scratch();
let reason: string | null = null;

before(async () => {
  reason = await plyfs.unavailable();
  const missing = await missingTools(['fusermount3', 'setpriv', 'unshare', 'getfattr']);
  if (reason === null && missing.length > 0) reason = `not installed: ${missing.join(', ')}`;
  if (reason !== null) return;
  chmodSync(scratch.path, 0o755);
  const readable = await sh(`${AS_USER} test -x ${COMMAND}`);
  if (readable.code !== 0) reason = 'another user can not read this directory';
});
after(() => scratch.dispose());

/** Layers of a user: `l` below, `up`, `work` and `mnt`. */
function home(): string {
  const path = scratch.directory('home');
  for (const name of ['', 'l', 'l/d', 'up', 'work', 'mnt']) {
    if (name !== '') mkdirSync(`${path}/${name}`);
    chownSync(`${path}/${name}`, USER, USER);
  }
  for (const name of ['a', 'b', 'd/c']) {
    writeFileSync(`${path}/l/${name}`, `${name}\n`);
    chownSync(`${path}/l/${name}`, USER, USER);
  }
  return path;
}

interface Machine {
  /** /etc/fuse.conf says user_allow_other. */
  readonly allowOther?: boolean;
  /** What starts the shell: `unshare -Ur -m`. */
  readonly within?: string;
}

const MOUNT = `${COMMAND} -o lowerdir=l,upperdir=up,workdir=work`;

/**
 * Runs a script as the user, in a mount namespace where /dev/fuse, /etc/fuse.conf, the users and their ranges of ids
 * are as the test needs them: the machine is not changed.
 */
function asUser(cwd: string, script: string, machine: Machine = {}): Promise<RunResult> {
  const etc = scratch.directory('etc');
  const file = (name: string, extra: string): void => {
    writeFileSync(`${etc}/${name}`, readFileSync(`/etc/${name}`, 'utf8'));
    appendFileSync(`${etc}/${name}`, extra);
  };
  file('passwd', `plyfs-user:x:${USER}:${USER}::${cwd}:/bin/sh\n`);
  for (const name of ['subuid', 'subgid']) writeFileSync(`${etc}/${name}`, 'plyfs-user:600000:65536\n');
  writeFileSync(`${etc}/fuse.conf`, machine.allowOther === true ? 'user_allow_other\n' : '');
  writeFileSync(`${etc}/script`, script);
  const prepare = `set -e
    for f in passwd subuid subgid fuse.conf; do [ ! -e /etc/$f ] || mount --bind ${etc}/$f /etc/$f; done
    mknod ${etc}/fuse c 10 229; chmod 666 ${etc}/fuse; mount --bind ${etc}/fuse /dev/fuse
    exec ${AS_USER} ${machine.within ?? ''} sh ${etc}/script`;
  return run('unshare', ['-m', 'sh', '-c', prepare], { cwd });
}

function test(name: string, body: (t: TestContext) => Promise<void>): void {
  it(name, async (t) => {
    if (reason !== null) t.skip(reason);
    else await body(t);
  });
}

const options = (mount: string): string =>
  `${mount}; grep "$PWD/mnt " /proc/self/mountinfo; ${COMMAND} umount mnt`;

describe('a plain user, through fusermount3', () => {
  test('is the only one to enter the mount unless others are allowed', async () => {
    for (const allowOther of [false, true]) {
      const result = await asUser(home(), options(`${MOUNT} mnt`), { allowOther });
      assert.match(result.stdout, / rw,nosuid,nodev,\S* - fuse\.plyfs /, result.stderr);
      assert.doesNotMatch(result.stdout, /allow_other/);
    }
  });

  test('may let others in where /etc/fuse.conf says user_allow_other', async () => {
    const result = await asUser(home(), options(`${MOUNT},allow_other mnt`), { allowOther: true });
    assert.match(result.stdout, /default_permissions,allow_other/, result.stderr);
  });

  test('is told why others may not enter', async () => {
    const result = await asUser(home(), `${MOUNT},allow_other mnt`);
    assert.equal(result.code, 1);
    assert.match(
      result.stderr,
      /^plyfs: [^\n]*allow_other[^\n]*user_allow_other[^\n]*\/etc\/fuse\.conf[^\n]*\n$/,
    );
  });
});

const CHANGES = `set -e; ${MOUNT} mnt; rm mnt/a; echo more >>mnt/b; rm -r mnt/d; mkdir mnt/d; touch mnt/d/new; mv mnt/b mnt/bb
  mkfifo mnt/pipe; ${COMMAND} umount mnt; stat -c '%F %n' up/a; getfattr --absolute-names -d -m overlay.opaque up/d`;
const SEEN = 'mnt:\nbb\nd\npipe\n\nmnt/d:\nnew\n';

describe('the upper of a plain user', () => {
  for (const within of ['', 'unshare -Ur -m']) {
    test(`has whiteouts and user.overlay.* ${within === '' ? 'through fusermount3' : 'in a user namespace'}`, async (t) => {
      if (within !== '' && (await sh(`${AS_USER} ${within} true`)).code !== 0)
        return t.skip('no user namespaces here');
      const cwd = home();
      const changed = await asUser(cwd, CHANGES, { within });
      assert.equal(
        changed.stdout,
        'character special file up/a\n# file: up/d\nuser.overlay.opaque="y"\n\n',
        changed.stderr,
      );
      const again = await asUser(
        cwd,
        `${MOUNT} mnt && ls -R mnt; rm -r mnt/d; ls mnt; umount mnt || ${COMMAND} umount mnt`,
        { within },
      );
      assert.equal(again.stdout, `${SEEN}bb\npipe\n`, again.stderr);
    });
  }

  test('is what the kernel mounts with userxattr', async (t) => {
    const cwd = home();
    const within = 'unshare -Ur -m';
    const kernel = `mount -t overlay overlay -o userxattr,lowerdir=l,upperdir=up,workdir=work mnt`;
    const probe = await asUser(home(), `${kernel} && umount mnt`, { within });
    if (probe.code !== 0) return t.skip(`the kernel's overlayfs in a user namespace: ${probe.stderr.trim()}`);
    await asUser(cwd, CHANGES, { within });
    const seen = await asUser(cwd, `${kernel} && ls -R mnt && cat mnt/bb && umount mnt`, { within });
    assert.equal(seen.stdout, `${SEEN}b\nmore\n`, seen.stderr);
  });
});

describe('an upper that refuses device nodes', () => {
  // A mount of plyfs is such a place: nobody may make whiteouts through it.
  const nest = `mkdir hl hu hw host && ${COMMAND} -o lowerdir=hl,upperdir=hu,workdir=hw host && mkdir host/up host/work`;
  const inner = `${COMMAND} -o lowerdir=l,upperdir=host/up,workdir=host/work mnt`;
  const leave = `${COMMAND} umount mnt`;

  test('gets whiteouts as files, with a message', async () => {
    const script = `set -e; ${nest}; ${inner}; rm mnt/a; rm -r mnt/d; mkdir mnt/d; touch mnt/d/new; mv mnt/b mnt/bb; ${leave}
      stat -c '%F %n' host/up/a; ${inner}; ls -R mnt; rm -r mnt/d; ls mnt; ${leave}; ${COMMAND} umount host`;
    const result = await asUser(home(), script);
    assert.equal(
      result.stdout,
      'regular empty file host/up/a\nmnt:\nbb\nd\n\nmnt/d:\nnew\nbb\n',
      result.stderr,
    );
    assert.match(result.stderr, /warning: upperdir can hold no device nodes here/);
  });
});

describe('a user with a range of ids', () => {
  test('owns files as any user of the namespace', async (t) => {
    const within = 'unshare --map-auto --map-root-user -m';
    const probe = await asUser(home(), 'true', { within });
    if (probe.code !== 0) return t.skip(`no ranges of ids here: ${probe.stderr.trim()}`);
    const cwd = home();
    const script = `${MOUNT} mnt || exit; cd mnt; chown 7:8 a; mkdir -m 1777 tmp; cp /bin/true true; chmod 4755 true
      setpriv --reuid 33 --regid 44 --clear-groups sh -c 'touch tmp/mine; echo no >>b; rm tmp/mine; touch tmp/mine'
      chown 7 true; setpriv --reuid 33 --regid 44 --clear-groups chmod 600 tmp/mine
      stat -c '%n %u:%g %a' a tmp/mine true; cd ..; umount mnt`;
    const result = await asUser(cwd, script, { within });
    assert.equal(result.stdout, 'a 7:8 644\ntmp/mine 33:44 600\ntrue 7:0 755\n', result.stderr);
    assert.match(result.stderr, /cannot create b: Permission denied/);
    const outside = await sh(`stat -c '%n %u:%g' up/a up/tmp/mine`, { cwd });
    assert.equal(outside.stdout, 'up/a 600006:600007\nup/tmp/mine 600032:600043\n');
  });
});
