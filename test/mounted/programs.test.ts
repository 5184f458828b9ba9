/** Real programs on a merged mount: this machine's own root in a chroot, git, tar, a database. */
import assert from 'node:assert/strict';
import { lstatSync } from 'node:fs';
import { after, before, describe, it, type TestContext } from 'node:test';
import { type Driver, drivers } from '../support/drivers.js';
import { run, sh } from '../support/exec.js';
import { Fixture, type Layers } from '../support/fixture.js';
import { Scratch } from '../support/scratch.js';
import { missingTools, part } from '../support/table.js';

/** One mount, made before the tests; it exists if `reason` is null. */
class Stage {
  reason: string | null = null;
  readonly #driver: Driver;
  readonly #layers: Layers;
  readonly #scratch = new Scratch();
  #fixture: Fixture | null = null;

  constructor(driver: Driver, layers: Layers) {
    this.#driver = driver;
    this.#layers = layers;
  }

  /** Why this driver can't run a test of many thousand requests; null when it can. */
  get tooSlow(): string | null {
    return this.#driver.name === 'plyfs by fuse-native'
      ? 'thousands of files take too long through fuse-native: see native-notes/fuse-native.md'
      : null;
  }

  get fixture(): Fixture {
    assert.ok(this.#fixture, 'the mount failed');
    return this.#fixture;
  }

  async start(): Promise<void> {
    this.reason = await this.#driver.unavailable();
    if (this.reason !== null) return;
    const fixture = new Fixture(this.#scratch, this.#driver, this.#layers);
    await fixture.mount();
    this.#fixture = fixture;
  }

  async dispose(): Promise<void> {
    await this.#fixture?.dispose();
    this.#scratch.dispose();
  }
}

function onEachDriver(title: string, layers: Layers, tests: (stage: Stage) => void): void {
  for (const driver of drivers) {
    describe(`${title} on ${driver.name}`, () => {
      const stage = new Stage(driver, layers);
      before(() => stage.start());
      after(() => stage.dispose());
      tests(stage);
    });
  }
}

/** Runs `script` unless something is missing; asserts exit code 0 and returns what it printed. */
async function script(
  t: TestContext,
  stage: Stage,
  text: string,
  needs: readonly string[] = [],
): Promise<string | null> {
  const missing = await missingTools(needs);
  const reason = stage.reason ?? (missing.length > 0 ? `not installed: ${missing.join(', ')}` : null);
  if (reason !== null) {
    t.skip(reason);
    return null;
  }
  const result = await stage.fixture.sh(`set -e; exec 2>&1\n${text}`, { timeout: 180_000 });
  assert.equal(result.code, 0, `${result.timedOut ? 'timed out; ' : ''}printed:\n${result.stdout}`);
  return result.stdout;
}

const ROOT_TOOLS = ['dpkg', 'python3', 'gcc'];
const PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';
const inRoot = new Map<string, boolean>();

/** `needs`, for programs inside the root: found by the PATH of the chroot, not by the caller's. */
async function chroot(t: TestContext, stage: Stage, text: string, needs: readonly string[] = []) {
  for (const tool of ROOT_TOOLS) {
    if (inRoot.has(tool)) continue;
    const result = await sh(`command -v ${tool}`, { env: { PATH } });
    inRoot.set(tool, result.code === 0);
  }
  const missing = needs.filter((tool) => inRoot.get(tool) !== true);
  if (missing.length > 0) {
    t.skip(`not in this root: ${missing.join(', ')}`);
    return null;
  }
  const quoted = text.replaceAll("'", "'\\''");
  const inside = `env -i PATH=${PATH} HOME=/root LC_ALL=C chroot . /bin/sh -ec '${quoted}'`;
  return script(t, stage, inside, ['chroot']);
}

const rootStack: Layers = {
  lower: [['put etc/plyfs-layer from-a-layer', 'dir opt/plyfs'], '/'],
  // Device nodes of the chroot; /tmp of the real root does not matter.
  upper: [
    'dir dev',
    'mknod dev/null c 666 1:3',
    'mknod dev/zero c 666 1:5',
    'chmod dev/null 666',
    'opaque tmp',
    'chmod tmp 1777',
  ],
};

onEachDriver("a chroot of this machine's root", rootStack, (stage) => {
  // The files that the programs change: others may change on a running machine.
  const touched = [
    '/etc/hostname',
    '/etc/fstab',
    '/etc/profile',
    '/etc/profile.old',
    '/usr/share/doc',
    '/dev/null',
  ];
  const facts = (): unknown[] =>
    touched.map((path) => {
      const stat = lstatSync(path, { bigint: true, throwIfNoEntry: false });
      return stat && [path, stat.ino, stat.mode, stat.size, stat.isDirectory() || stat.mtimeNs];
    });
  const untouched = facts();

  it('runs a shell that changes system files', async (t) => {
    const out = await chroot(
      t,
      stage,
      'cat /etc/plyfs-layer; echo merged > /etc/hostname; rm -f /etc/fstab; mv /etc/profile /etc/profile.old; ls /etc | grep "^profile"; cat /etc/hostname',
    );
    if (out === null) return;
    assert.match(out, /^from-a-layer(profile\.d\n)?profile\.old\nmerged\n$/);
    const upper = part(stage.fixture.upper(), 'etc');
    assert.match(upper['hostname'] ?? '', /"merged\\n"$/);
    assert.equal(upper['profile'], 'whiteout');
    assert.match(upper['profile.old'] ?? '', /^file /);
  });

  it('deletes and replaces a system directory', async (t) => {
    if (stage.tooSlow !== null) return t.skip(stage.tooSlow);
    const out = await chroot(
      t,
      stage,
      'rm -rf /usr/share/doc; test ! -e /usr/share/doc; mkdir /usr/share/doc; echo new > /usr/share/doc/README; ls /usr/share/doc',
    );
    if (out === null) return;
    assert.equal(out, 'README\n');
    assert.equal(stage.fixture.upper('/usr/share')['doc']?.includes('trusted.overlay.opaque="y"'), true);
  });

  it('answers package queries', async (t) => {
    const out = await chroot(
      t,
      stage,
      'dpkg -l | grep -c ^ii; dpkg -S /bin/ls /usr/bin/ls 2>/dev/null || true',
      ['dpkg'],
    );
    if (out !== null) assert.match(out, /^\d+\n(coreutils.*\n)*/);
  });

  it('installs and removes a package', async (t) => {
    const out = await chroot(
      t,
      stage,
      `mkdir -p /tmp/p/DEBIAN /tmp/p/usr/share/plyfs-demo; echo hello > /tmp/p/usr/share/plyfs-demo/file
printf 'Package: plyfs-demo\\nVersion: 1\\nArchitecture: all\\nMaintainer: x <x@example.org>\\nDescription: x\\n' > /tmp/p/DEBIAN/control
dpkg-deb -b /tmp/p /tmp/p.deb > /dev/null; dpkg -i /tmp/p.deb > /dev/null; cat /usr/share/plyfs-demo/file
dpkg -s plyfs-demo | grep Status; dpkg -P plyfs-demo > /dev/null; test ! -e /usr/share/plyfs-demo`,
      ['dpkg'],
    );
    if (out !== null) assert.match(out, /hello\nStatus: install ok installed\n$/);
  });

  it('runs python', async (t) => {
    const code =
      'import json, os, tempfile, hashlib; f = tempfile.NamedTemporaryFile(); f.write(b"x" * 100000); f.flush(); print(os.stat(f.name).st_size, json.dumps([1]))';
    const out = await chroot(t, stage, `python3 -c '${code}'`, ['python3']);
    if (out !== null) assert.equal(out, '100000 [1]\n');
  });

  it('compiles and runs a program', async (t) => {
    const out = await chroot(
      t,
      stage,
      `cd /tmp; printf '#include <stdio.h>\\nint main(void) { puts("compiled"); return 0; }\\n' > a.c; gcc -O1 -o a a.c; ./a; rm a; gcc -o a a.c; ./a`,
      ['gcc'],
    );
    if (out !== null) assert.equal(out, 'compiled\ncompiled\n');
  });

  it('left the root alone', (t) => {
    if (stage.reason !== null) t.skip(stage.reason);
    else assert.deepEqual(facts(), untouched);
  });
});

const plain: Layers = { lower: [['put base/file x', 'dir base/many']] };

onEachDriver('programs', plain, (stage) => {
  it('git clones, commits, branches and checks out', async (t) => {
    const out = await script(
      t,
      stage,
      `export HOME=$PWD GIT_CONFIG_NOSYSTEM=1 GIT_AUTHOR_NAME=a GIT_AUTHOR_EMAIL=a@b GIT_COMMITTER_NAME=a GIT_COMMITTER_EMAIL=a@b
git -c init.defaultBranch=main init -q origin; cd origin
for i in $(seq 60); do mkdir -p d$((i % 7)); echo "text $i" > d$((i % 7))/f$i; done
git add -A; git commit -qm one; git checkout -qb side; git rm -qr d3; echo more >> d1/f1; mkdir d3; echo back > d3/new; git add -A; git commit -qm two
git checkout -q main; cd ..; git clone -q origin copy; cd copy; git checkout -q side; cat d3/new; ls d3 | wc -l; git checkout -q main; ls d3 | wc -l
git merge -q --no-edit origin/side; git gc -q; git fsck 2>&1 | grep -v dangling || true; git status --porcelain | wc -l; cd ..; rm -rf origin copy; ls`,
      ['git'],
    );
    if (out !== null) assert.equal(out, 'back\n1\n9\n0\nbase\n');
  });

  it('tar unpacks and packs a few thousand files', async (t) => {
    if (stage.tooSlow !== null) return t.skip(stage.tooSlow);
    const source = stage.reason === null ? `${stage.fixture.scratch.path}/source` : '';
    const make = `mkdir ${source} && cd ${source} && for d in $(seq 30); do mkdir d$d; for f in $(seq 100); do echo "$d $f" > d$d/f$f; done; done && tar cf ../source.tar .`;
    if (stage.reason === null) assert.equal((await run('/bin/sh', ['-c', make])).code, 0);
    const out = await script(
      t,
      stage,
      `mkdir base/many/t; tar xf ${source}.tar -C base/many/t; diff -r ${source} base/many/t; find base/many/t -type f | wc -l
tar cf - -C base/many t | tar tf - | wc -l; rm -rf base/many/t; ls base/many | wc -l`,
      ['tar'],
    );
    if (out !== null) assert.equal(out, '3000\n3031\n0\n');
  });

  it('sqlite3 writes a database', async (t) => {
    const insert =
      'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000) INSERT INTO t SELECT i, hex(randomblob(50)) FROM n;';
    const out = await script(
      t,
      stage,
      `sqlite3 base/db 'CREATE TABLE t(a INTEGER PRIMARY KEY, b TEXT); ${insert} SELECT count(*) FROM t;'
sqlite3 base/db 'PRAGMA journal_mode=WAL; BEGIN; UPDATE t SET b = a; DELETE FROM t WHERE a % 2; COMMIT; SELECT sum(b) FROM t; PRAGMA integrity_check;'
sqlite3 base/db 'VACUUM; SELECT count(*) FROM t;'`,
      ['sqlite3'],
    );
    if (out !== null) assert.equal(out, '3000\nwal\n2251500\nok\n1500\n');
  });

  it('cp and diff a tree while it changes layers', async (t) => {
    const out = await script(
      t,
      stage,
      'cp -a base copy; echo y > base/file; diff -r base copy || true; rm -r copy',
    );
    if (out !== null)
      assert.equal(out, 'diff -r base/file copy/file\n1c1\n< y\n---\n> x\n\\ No newline at end of file\n');
  });

  it('left the lower layers alone', (t) => {
    if (stage.reason !== null) t.skip(stage.reason);
    else assert.deepEqual(stage.fixture.lowerChanges(), []);
  });
});
