/** mount(8), an fstab line, and what systemd reads: plyfs as the helper program of `fuse.plyfs`. */
import assert from 'node:assert/strict';
import { mkdirSync, writeFileSync } from 'node:fs';
import { after, before, describe, it, type TestContext } from 'node:test';
import { plyfs } from '../support/drivers.js';
import { type RunResult, run, sh } from '../support/exec.js';
import { COMMAND } from '../support/namespace.js';
import { Scratch } from '../support/scratch.js';
import { hasTool } from '../support/table.js';

const scratch = new Scratch();
let reason: string | null = null;

before(async () => {
  reason = await plyfs.unavailable();
  if (reason === null && !(await hasTool('mount.fuse3')) && !(await hasTool('/sbin/mount.fuse3'))) {
    reason = 'there is no mount.fuse3 (the fuse3 package)';
  }
});
after(() => scratch.dispose());

/** Layers in a directory whose name contains characters that fstab must escape. */
function home(): string {
  const path = scratch.directory('my home');
  for (const name of ['l1', 'l2', 'up', 'work', 'mnt', 'bin']) mkdirSync(`${path}/${name}`);
  writeFileSync(`${path}/l1/one`, 'one\n');
  writeFileSync(`${path}/l2/two`, 'two\n');
  return path;
}

/**
 * Runs a script where plyfs is installed as the README says, by a link on PATH, and `fstab` is /etc/fstab: in a mount
 * namespace of its own, so that the machine is not changed. `$D` is the directory, escaped for use in an option.
 */
function installed(cwd: string, script: string, fstab = ''): Promise<RunResult> {
  writeFileSync(`${cwd}/fstab`, fstab);
  const prepare = `set -e; mount --make-rprivate /; D='${cwd}'
    [ -e /etc/fstab ] || : >/etc/fstab; mount --bind fstab /etc/fstab
    mount --bind bin /usr/local/bin; ln -s '${COMMAND}' '${process.execPath}' /usr/local/bin/
    ${script}`;
  return run('unshare', ['-m', 'sh', '-c', prepare], { cwd });
}

function test(name: string, body: (t: TestContext) => Promise<void>): void {
  it(name, async (t) => {
    if (reason !== null) t.skip(reason);
    else await body(t);
  });
}

describe('mount(8)', () => {
  test('mounts by type, and umount(8) unmounts', async () => {
    const result = await installed(
      home(),
      `mount -t fuse.plyfs overlay "$D/mnt" -o "lowerdir=$D/l1:$D/l2,upperdir=$D/up,workdir=$D/work,nosuid"
       findmnt -n -o SOURCE,FSTYPE,OPTIONS "$D/mnt"; cat mnt/one mnt/two; echo new >mnt/new; cat up/new
       umount "$D/mnt"; ls mnt; mount -t fuse.plyfs -r overlay "$D/mnt" -o "lowerdir=$D/l1:$D/l2"; touch mnt/no || umount mnt`,
    );
    assert.match(
      result.stdout,
      /^overlay +fuse\.plyfs +rw,nosuid,[^\n]*allow_other\none\ntwo\nnew\n$/,
      result.stderr,
    );
    assert.match(result.stderr, /touch: cannot touch 'mnt\/no': Read-only file system/);
    assert.equal(result.code, 0, result.stderr);
  });

  test('shows why there is no mount, and fails', async () => {
    const result = await installed(home(), `mount -t fuse.plyfs overlay "$D/mnt" -o "lowerdir=$D/l9"`);
    assert.match(result.stderr, /plyfs: .*l9.*does not exist/);
    assert.notEqual(result.code, 0);
  });

  test('needs no mount.fuse3 where plyfs is its helper, and makes no mount with -f', async () => {
    const layers = '-o "lowerdir=$D/l1:$D/l2"';
    const result = await installed(
      home(),
      `mkdir tmp; mount -t tmpfs none tmp; mkdir tmp/up tmp/work
       mount -t overlay none -o lowerdir=/usr/sbin,upperdir=tmp/up,workdir=tmp/work /usr/sbin
       ln -s '${COMMAND}' /usr/sbin/mount.plyfs
       mount -f -t plyfs overlay "$D/mnt" ${layers}; findmnt "$D/mnt" || echo none
       mount -n -v -s -t plyfs overlay "$D/mnt" ${layers},noauto; cat mnt/one; umount "$D/mnt"`,
    );
    assert.equal(result.stdout, 'none\none\n', result.stderr);
  });

  test('accepts its words for propagation', async () => {
    const result = await installed(
      home(),
      `mount -t tmpfs shared "$D/mnt"; mount --make-shared "$D/mnt"; mkdir mnt/a mnt/b
       for word in private unbindable rshared; do
         plyfs -o "lowerdir=$D/l1:$D/l2,$word" mnt/a; findmnt -n -o PROPAGATION "$D/mnt/a"; umount mnt/a
       done
       plyfs -o "lowerdir=$D/l1:$D/l2" mnt/a; findmnt -n -o PROPAGATION "$D/mnt/a"; umount mnt/a`,
    );
    assert.equal(result.stdout, 'private\nprivate,unbindable\nshared\nshared\n', result.stderr);
    assert.equal(result.stderr, '');
  });

  test('changes the flags of a mount', async () => {
    const cwd = home();
    const at = cwd.replaceAll(' ', '\\040');
    const line = `overlay ${at}/mnt fuse.plyfs lowerdir=${at}/l1,upperdir=${at}/up,workdir=${at}/work,nodev 0 0\n`;
    const script = `show() { findmnt -n -o OPTIONS "$D/mnt" | cut -d, -f1-3; }
      mount "$D/mnt"; show
      mount -o remount,ro,nosuid "$D/mnt"; show; touch mnt/a || echo refused; cat mnt/one
      mount -o remount,rw "$D/mnt"; show; touch mnt/a && echo written
      plyfs -o remount,noexec mnt; show
      exec 3>mnt/b; mount -o remount,ro "$D/mnt" || show; exec 3>&-
      umount "$D/mnt"`;
    const result = await installed(cwd, script, line);
    assert.deepEqual(result.stdout.split('\n'), [
      'rw,nodev,relatime',
      'ro,nosuid,nodev',
      'refused',
      'one',
      'rw,nodev,relatime',
      'written',
      'rw,nodev,noexec',
      'rw,nodev,noexec',
      '',
    ]);
    assert.match(
      result.stderr,
      /^touch: [^\n]*Read-only file system\nplyfs: [^\n]*mnt can't become read-only: a file is open for writing there\.\n$/,
    );
  });

  test('does not make a read-only mount writable', async () => {
    const result = await installed(
      home(),
      `mount -t fuse.plyfs overlay "$D/mnt" -o "lowerdir=$D/l1:$D/l2"; mount -o remount,rw "$D/mnt" || echo refused
       mount -o remount,nodev "$D/mnt"; findmnt -n -o OPTIONS "$D/mnt" | cut -d, -f1-2; umount mnt; plyfs -o remount,ro mnt || echo none`,
    );
    assert.equal(result.stdout, 'refused\nro,nodev\nnone\n');
    assert.match(
      result.stderr,
      /^plyfs: [^\n]*mnt was mounted read-only, [^\n]*\nplyfs: nothing is mounted at 'mnt'\.\n$/,
    );
  });
});

describe('a line of /etc/fstab', () => {
  test('is mounted by name, with the environment of a boot', async () => {
    const cwd = home();
    const at = cwd.replaceAll(' ', '\\040');
    const layers = `lowerdir=${at}/l1:${at}/l2,upperdir=${at}/up,workdir=${at}/work`;
    const line = `overlay ${at}/mnt fuse.plyfs ${layers},nodev,nofail,noauto,_netdev,x-systemd.requires-mounts-for=${at} 0 0\n`;
    const script = `env -i PATH=/usr/sbin:/usr/bin:/sbin:/bin mount "$D/mnt"; cat mnt/two; findmnt -n -o OPTIONS "$D/mnt"; umount "$D/mnt"`;
    const result = await installed(cwd, script, line);
    assert.match(result.stdout, /^two\nrw,nodev,[^\n]*\n$/, result.stderr);
  });
});

const UNIT = `[Unit]
Description=A merged tree

[Mount]
What=overlay
Where=/srv/merged
Type=fuse.plyfs
Options=lowerdir=/usr/share,upperdir=/var/upper,workdir=/var/work,nodev

[Install]
WantedBy=local-fs.target
`;

describe('a systemd mount unit', () => {
  test('is understood by systemd', async (t) => {
    if (!(await hasTool('systemd-analyze'))) return t.skip('systemd-analyze is not installed');
    const directory = scratch.directory('units');
    writeFileSync(`${directory}/srv-merged.mount`, UNIT);
    const result = await sh(`systemd-analyze verify ${directory}/srv-merged.mount 2>&1`);
    // It also complains about the machine's own units.
    assert.doesNotMatch(result.stdout, /srv-merged/);
  });
});
