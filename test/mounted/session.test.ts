/** The session: reading, answering, parking, ending. A small test filesystem is served instead of the overlay. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { closeSync, ftruncateSync, openSync, statSync, writeFileSync, writeSync } from 'node:fs';
import { after, before, describe, it, type TestContext } from 'node:test';
import { plyfs } from '../support/drivers.js';
import { must, run, until } from '../support/exec.js';
import { Scratch } from '../support/scratch.js';
import { isMounted, SessionServer } from '../support/session-server.js';

let reason: string | null = null;
const scratch = new Scratch();

before(async () => {
  reason = await plyfs.unavailable();
});
after(() => scratch.dispose());

/** Runs a test with a server, which is ended afterwards. */
function withServer(
  name: string,
  test: (server: SessionServer) => Promise<void>,
  env: () => Readonly<Record<string, string>> = () => ({}),
): void {
  it(name, async (t: TestContext) => {
    if (reason !== null) return t.skip(reason);
    const server = await SessionServer.start(scratch.directory('mnt'), env());
    try {
      await test(server);
    } finally {
      await server.dispose();
    }
  });
}

/** A file with data at its start, at 64 MiB and at its end, and holes between. */
function sparseFile(size: number): string {
  const path = `${scratch.directory('data')}/sparse`;
  const fd = openSync(path, 'w');
  ftruncateSync(fd, size);
  for (const at of [0, 64 << 20, size - 5]) writeSync(fd, Buffer.from('data!'), 0, 5, at);
  closeSync(fd);
  return path;
}

describe('a session', () => {
  withServer('lists, reads and counts', async (server) => {
    assert.equal(await must('ls', [server.mountpoint]), 'bug\ncrash\nhello\nslow\n');
    assert.equal(await must('cat', [`${server.mountpoint}/hello`]), 'hello, world\n');
    server.signal('SIGUSR1');
    const stats = JSON.parse((await server.says('stats')).slice(6)) as Record<string, number>;
    assert.ok(stats['totalRequests']! >= 4, JSON.stringify(stats));
    assert.equal(stats['refused'], 0);
    assert.ok(stats['bytesOut']! > stats['totalRequests']! * 16);
  });

  withServer('ends when anyone unmounts', async (server) => {
    await must('umount', [server.mountpoint]);
    assert.equal(await server.exited, 0);
    await server.says('ended unmounted');
    assert.equal(isMounted(server.mountpoint), false);
  });

  withServer('ends on request', async (server) => {
    server.signal('SIGUSR2');
    assert.equal(await server.exited, 0);
    assert.equal(isMounted(server.mountpoint), false);
  });

  withServer('says that a mount is busy', async (server) => {
    const guest = spawn('sleep', ['600'], { cwd: server.mountpoint });
    try {
      server.signal('SIGUSR2');
      assert.match(await server.says('refused'), /is busy/);
      assert.equal(isMounted(server.mountpoint), true);
    } finally {
      guest.kill('SIGKILL');
    }
  });

  withServer('ends a lazily detached mount with its last user', async (server) => {
    const guest = spawn('sleep', ['600'], { cwd: server.mountpoint });
    await must('umount', ['-l', server.mountpoint]);
    assert.equal(isMounted(server.mountpoint), false);
    guest.kill('SIGKILL');
    assert.equal(await server.exited, 0);
  });

  withServer('continues after a bug', async (server) => {
    const bug = await run('cat', [`${server.mountpoint}/bug`]);
    assert.match(bug.stderr, /Input\/output error/);
    assert.equal(await must('cat', [`${server.mountpoint}/hello`]), 'hello, world\n');
    await until('a log of the bug', () => server.log.includes('a bug, on purpose'));
  });

  const oneThread = { PLYFS_TEST_ONE_THREAD: '1', PLYFS_TEST_RESTLESS: '1' };
  withServer(
    'lives on after a bug that is in no request',
    async (server) => {
      for (let i = 0; i < 3; i++) {
        // Between requests, for the signal, it goes to rest.
        server.signal('SIGUSR1');
        await server.says('stats');
        assert.equal(await must('cat', [`${server.mountpoint}/hello`]), 'hello, world\n');
      }
      await until('a log of the bug', () => server.log.includes('no rest, on purpose'));
      server.signal('SIGUSR2');
      assert.equal(await server.exited, 0);
    },
    () => oneThread,
  );

  withServer('that crashes leaves nothing mounted', async (server) => {
    const crash = await run('cat', [`${server.mountpoint}/crash`]);
    assert.notEqual(crash.code, 0);
    assert.equal(await server.exited, 1);
    await server.says('ended failed');
    assert.equal(isMounted(server.mountpoint), false);
  });

  it('whose filesystem refuses to start leaves nothing mounted', async (t) => {
    if (reason !== null) return t.skip(reason);
    const at = scratch.directory('mnt');
    const server = SessionServer.startFailing(at, { PLYFS_TEST_REFUSE: '1' });
    assert.equal(await server.exited, 1);
    assert.match(server.log, /the test filesystem refuses\./);
    assert.equal(isMounted(at), false);
  });
});

describe('a parked request', () => {
  const size = 3 * 2 ** 30 + 5;
  const from = sparseFile(size);
  const to = `${scratch.directory('data')}/copy`;
  const env = () => ({ PLYFS_TEST_FROM: from, PLYFS_TEST_TO: to, PLYFS_TEST_SIZE: String(size) });

  withServer(
    'is answered when its job is done, with holes kept',
    async (server) => {
      assert.equal(await must('cat', [`${server.mountpoint}/slow`]), 'at last\n');
      assert.equal(statSync(to).size, size);
      assert.ok(statSync(to).blocks * 512 < 1 << 20, `${statSync(to).blocks} blocks`);
      await must('cmp', [from, to]);
      server.signal('SIGUSR1');
      const stats = JSON.parse((await server.says('stats')).slice(6)) as Record<string, number>;
      assert.equal(stats['jobs'], 1);
      assert.ok(stats['parked']! >= 1);
    },
    env,
  );
});

describe('a long job', () => {
  const directory = scratch.directory('data');
  const enough = `${directory}/enough`;
  const env = () => ({
    PLYFS_TEST_FROM: '/dev/zero',
    PLYFS_TEST_TO: `${directory}/copy`,
    PLYFS_TEST_SIZE: String(2 ** 29),
    PLYFS_TEST_UNTIL: enough,
  });

  withServer(
    'does not block other requests',
    async (server) => {
      const slow = run('cat', [`${server.mountpoint}/slow`]);
      const jobs = async (): Promise<number> => {
        server.signal('SIGUSR1');
        return (JSON.parse((await server.says('stats')).slice(6)) as { jobs: number }).jobs;
      };
      await until('the start of a job', async () => (await jobs()) > 0);
      // On a busy machine a job may end meanwhile: then the next one is checked.
      await until('several requests answered during one job', async () => {
        const before = await jobs();
        for (let i = 0; i < 4; i++)
          assert.equal(await must('cat', [`${server.mountpoint}/hello`]), 'hello, world\n');
        return (await jobs()) === before;
      });
      writeFileSync(enough, '');
      assert.equal((await slow).stdout, 'at last\n');
    },
    env,
  );
});
