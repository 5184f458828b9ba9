/** `plyfs stats` and the socket behind it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readFileSync, renameSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { after, before, describe, it } from 'node:test';
import { setTimeout } from 'node:timers/promises';
import { type MountStats, statsOf } from '../../src/cli/tools/stats-numbers.js';
import { asPrometheus } from '../../src/cli/tools/stats-prometheus.js';
import * as api from '../../src/index.js';
import { Counters } from '../../src/session/counters.js';
import { type MountReport, parseReport } from '../../src/session/mount-report.js';
import { plyfs } from '../support/drivers.js';
import { run, until } from '../support/exec.js';
import { Scratch } from '../support/scratch.js';
import { missingTools } from '../support/table.js';
import { CLI, cannotMount, changed, shell, stackDirs, tool, toolJson } from './support.js';

function reportOf(counters: Counters): MountReport {
  return {
    version: 1,
    pid: 1,
    mountpoint: '/m "x"',
    startedAt: '',
    options: { lowerdir: [], datadir: [], upperdir: null, workdir: null, userxattr: false, readOnly: true },
    optionText: [],
    stats: counters.read(),
    names: { 1: 'LOOKUP' },
    memory: { rss: 0, heapUsed: 0, external: 0 },
    descriptors: 0,
  };
}

function took(counters: Counters, ...microseconds: number[]): void {
  for (const us of microseconds) {
    counters.request(1, 40);
    counters.took(1, us / 1000);
  }
}

describe('histograms of requests', () => {
  const counted = (histogram: MountStats['requests'][number]['histogram']): string =>
    histogram
      .filter(({ count }) => count > 0)
      .map(({ le, count }) => `${le}:${count}`)
      .join(' ');

  it('a bucket has the requests that took up to its bound, the last one all above a second', () => {
    const counters = new Counters();
    took(counters, 0, 0.5, 1, 1.5, 2, 2.5, 4, 1024, 1025, 1_048_576, 2_000_000, 1e10);
    const [lookups] = statsOf(reportOf(counters), null).requests;
    assert.equal(counted(lookups!.histogram), '1:3 2:2 4:2 1024:1 2048:1 1048576:1 null:2');
    assert.deepEqual([lookups!.p50, lookups!.p90, lookups!.p99], [4, null, null]);
  });

  it('the difference to an earlier report has only what happened since', () => {
    const counters = new Counters();
    took(counters, 10, 10, 900);
    counters.caches[0] = 5;
    const before = reportOf(counters);
    took(counters, 3);
    counters.caches[0] = 7;
    const stats = statsOf(reportOf(counters), before);
    assert.equal(counted(stats.requests[0]!.histogram), '4:1');
    assert.deepEqual([stats.requests[0]!.count, stats.requests[0]!.microseconds], [1, 3]);
    assert.deepEqual(stats.caches.nodes, { hits: 2, misses: 0 });
  });

  it('Prometheus gets cumulative buckets in seconds, and all samples of a name together', () => {
    const counters = new Counters();
    took(counters, 1, 2, 3, 5_000_000);
    const text = asPrometheus(statsOf(reportOf(counters), null));
    const labels = 'mount="/m \\"x\\"",request="LOOKUP"';
    for (const line of [
      '# TYPE plyfs_request_duration_seconds histogram',
      `plyfs_request_duration_seconds_bucket{${labels},le="0.000001"} 1`,
      `plyfs_request_duration_seconds_bucket{${labels},le="0.000004"} 3`,
      `plyfs_request_duration_seconds_bucket{${labels},le="1.048576"} 3`,
      `plyfs_request_duration_seconds_bucket{${labels},le="+Inf"} 4`,
      `plyfs_request_duration_seconds_sum{${labels}} 5.000006`,
      `plyfs_request_duration_seconds_count{${labels}} 4`,
    ])
      assert.ok(text.split('\n').includes(line), `${line}\n${text}`);
  });
});

describe('the report of a mount', () => {
  const counters = new Counters();
  took(counters, 3);
  const whole = JSON.parse(JSON.stringify(reportOf(counters))) as Record<string, unknown>;
  whole['startedAt'] = new Date(0).toISOString();
  const read = (more: object): boolean => parseReport(JSON.stringify({ ...whole, ...more })) !== null;

  it('is accepted when it is a report', () => {
    assert.ok(read({}));
    assert.ok(read({ later: 'field' }));
  });

  const stats = whole['stats'] as Record<string, unknown>;
  const options = whole['options'] as Record<string, unknown>;
  const WRONG: Readonly<Record<string, object>> = {
    'without layers': { options: undefined },
    'with layers that are not text': { options: { ...options, lowerdir: [1] } },
    'with an upper that is not a path': { options: { ...options, upperdir: {} } },
    'with a request that would write on a terminal': { names: { 1: '\u001b[2J' } },
    'with a time that would': { startedAt: '\u001b]0;x\u0007' },
    'with a process that would': { pid: '\u001b[2J' },
    'without numbers': { stats: {} },
    'with a request without a histogram': { stats: { ...stats, requests: { 2: 1 } } },
    'with a histogram of another length': { stats: { ...stats, histograms: { 1: [1] } } },
    'with a sum that is not a number': { stats: { ...stats, bugs: 'none' } },
    'of another version': { version: 2 },
  };
  for (const [name, more] of Object.entries(WRONG))
    it(`is not accepted ${name}`, () => assert.equal(read(more), false));
  it('is not accepted when it is something else', () => {
    for (const text of ['', '{', 'null', '[]', '1']) assert.equal(parseReport(text), null);
  });
});

describe('plyfs stats', () => {
  const scratch = new Scratch();
  let reason: string | null = null;
  before(async () => {
    reason = await cannotMount();
  });
  after(() => scratch.dispose());

  it('counts requests of a live mount, in three formats, and watches', async (t) => {
    if (reason !== null) return t.skip(reason);
    const dirs = stackDirs(scratch);
    await shell(`mkdir ${dirs.lower}/d; echo four > ${dirs.lower}/d/x`);
    let socket = '';
    const whileMounted = async (): Promise<void> => {
      const stats = await toolJson<MountStats>(['stats', dirs.merged]);
      const mkdirs = stats.requests.find(({ name }) => name === 'MKDIR')!;
      assert.equal(mkdirs.count, 3);
      assert.ok(mkdirs.microseconds > 0 && stats.rss > 1 << 20 && stats.bugs === 0);
      assert.equal(
        mkdirs.histogram.reduce((sum, { count }) => sum + count, 0),
        3,
      );
      assert.equal(stats.mountpoint, dirs.merged);
      // The file was looked up once with a miss; writing it opened it once.
      assert.ok(stats.caches.nodes.misses > 0 && stats.caches.directories.hits > 0);
      assert.deepEqual([stats.copyUps, stats.copiedBytes], [2, 5]);
      assert.match(
        (await tool(['stats', dirs.merged])).stdout,
        /\nrequest +count +mean +50% +90% +99% [\s\S]*MKDIR +3 +\d+ \S+s +(<|>|\d)/,
      );
      const metrics = (await tool(['stats', dirs.merged, '--prometheus'])).stdout;
      assert.match(metrics, /^plyfs_requests_total\{mount=".*",request="MKDIR"\} 3$/m);
      assert.match(metrics, /^plyfs_request_duration_seconds_count\{mount=".*",request="MKDIR"\} 3$/m);
      assert.match(metrics, /^plyfs_cache_hits_total\{mount=".*",cache="directories"\} [1-9]\d*$/m);
      const both = await tool(['stats', dirs.merged, '--prometheus', '--watch']);
      assert.equal(both.code, 2, both.stderr);
      const device = await shell(`grep ' ${dirs.merged} ' /proc/self/mountinfo | cut -d' ' -f3`);
      socket = `/run/plyfs/${device.trim().replace(':', '-')}.sock`;
      assert.equal(statSync('/run/plyfs').mode & 0o777, 0o700);
      assert.equal(statSync(socket).mode & 0o777, 0o600);
      const report = await api.askMount(device.trim());
      assert.deepEqual(report!.options.lowerdir, [dirs.lower]);
      // As if the mount had just been made.
      renameSync(socket, `${socket}.away`);
      const later = api.askMount(device.trim());
      await setTimeout(200);
      renameSync(`${socket}.away`, socket);
      assert.equal((await later)?.pid, report!.pid);
      await watched(dirs.merged, ['--watch', '0.3']);
      await watched(dirs.merged, ['--watch']);
      for (const seconds of ['0', 'often']) {
        assert.equal((await tool(['stats', dirs.merged, '--watch', seconds])).code, 2);
      }
    };
    await changed(dirs, 'mkdir a b c; echo y >> d/x', { driver: plyfs, whileMounted });
    // The server removes its socket when it has noticed the end of the mount.
    await until(`the end of ${socket}`, () => !existsSync(socket));
    const none = await tool(['stats', dirs.merged]);
    assert.equal(none.code, 1);
    assert.match(none.stderr, /^plyfs: '.*' is on no plyfs mount\.\n$/);
  });

  it('tells another user that the mount can not be asked by that user', async (t) => {
    if (reason !== null) return t.skip(reason);
    if (process.geteuid!() !== 0) return t.skip('needs two users');
    const asNobody = ['--reuid=65534', '--clear-groups', process.execPath, CLI];
    if ((await run('setpriv', [...asNobody, '--version'])).code !== 0)
      return t.skip('nobody may not read this checkout, or there is no setpriv');
    const dirs = stackDirs(scratch);
    const whileMounted = async (): Promise<void> => {
      for (const command of ['stats', 'diff', 'inspect', 'layers']) {
        const result = await run('setpriv', [...asNobody, command, dirs.merged]);
        assert.equal(result.code, 1);
        assert.match(result.stderr, /^plyfs: the plyfs mount at '.*' does not answer this user[^\n]*\.\n$/);
      }
    };
    await changed(dirs, 'true', { driver: plyfs, whileMounted });
  });

  it('says that a server is gone', async (t) => {
    if (reason !== null) return t.skip(reason);
    const { lower, merged } = stackDirs(scratch);
    const script = `${process.execPath} ${CLI} mount --lower ${lower} ${merged}
      kill -9 "$(${process.execPath} ${CLI} stats ${merged} --json | sed -n 's/,$//; s/.*"pid": //p')"
      while ls ${merged} 2>/dev/null; do sleep 0.1; done
      ${process.execPath} ${CLI} stats ${merged} || echo "code $?"
      ${process.execPath} ${CLI} diff ${merged} || echo "code $?"
      ${process.execPath} ${CLI} inspect ${merged} || echo "code $?"
      umount ${merged}`;
    const said = `plyfs: can't use '${merged}': the server of this mount is gone; take it away with plyfs umount.\ncode 1\n`;
    assert.equal(await shell(`(${script}) 2>&1`), said.repeat(3));
  });

  it("root does not trust a user's socket about a mount of somebody else", async (t) => {
    if (reason !== null) return t.skip(reason);
    if (process.geteuid!() !== 0) return t.skip('needs two users');
    if ((await missingTools(['setpriv'])).length > 0) return t.skip('not installed: setpriv');
    const dirs = stackDirs(scratch);
    // As if the server had no socket: in a namespace without /run/plyfs.
    const lie = scratch.directory('lie');
    const script = `
      mount -t tmpfs none /run
      mkdir -p /run/user/65534/plyfs
      node='${process.execPath} ${CLI}'
      mount -t tmpfs none /run/user/65534/plyfs
      chown 65534 /run/user/65534/plyfs
      chmod 700 /run/user/65534/plyfs
      $node -o lowerdir=${dirs.lower} ${dirs.merged}
      device=$(grep ' ${dirs.merged} ' /proc/self/mountinfo | cut -d' ' -f3)
      for i in $(seq 600); do [ ! -e /run/plyfs/*.sock ] || break; sleep 0.1; done
      $node stats ${dirs.merged} --json > ${lie}/said
      rm /run/plyfs/*.sock
      setpriv --reuid=65534 --clear-groups ${process.execPath} -e '
require("net")
  .createServer((one) => one.destroy(console.log("asked")))
  .listen("/run/user/65534/plyfs/" + process.argv[1].replace(":", "-") + ".sock")' $device > ${lie}/asked &
      liar=$!
      for i in $(seq 600); do [ ! -e /run/user/65534/plyfs/*.sock ] || break; sleep 0.1; done
      $node stats ${dirs.merged} || echo "code $?"
      kill $liar
      umount ${dirs.merged}`;
    const inside = ['--mount', '--propagation=private', 'sh', '-c', script];
    const { stdout, stderr } = await run('unshare', inside, { timeout: 150_000 });
    assert.equal(stdout, 'code 1\n', stderr);
    assert.equal(readFileSync(`${lie}/asked`, 'utf8'), '', stderr);
  });

  it('removes the sockets of servers that were killed, and no others', async (t) => {
    if (reason !== null) return t.skip(reason);
    if (process.geteuid!() !== 0) return t.skip('looks into /run/plyfs');
    const dirs = stackDirs(scratch);
    // Numbers that no mount and no other test has. The first has been dead for long, the second has just died, the third lives.
    const [dead, young, alive, file] = [6, 7, 8, 9].map(
      (major) => `/run/plyfs/${major}99999999-${process.pid}.sock`,
    ) as [string, string, string, string];
    const bind = `const paths = process.argv.slice(1);
let listening = 0;
for (const path of paths)
  require("net").createServer().listen(path, () => ++listening < paths.length || process.kill(process.pid, "SIGKILL"));`;
    await changed(dirs, 'true', {
      driver: plyfs,
      whileMounted: async () => {
        await run(process.execPath, ['-e', bind, dead, young]);
        const server = createServer().listen(alive);
        try {
          await once(server, 'listening');
          for (const path of [dead, alive]) utimesSync(path, 1, 1);
          // However long this takes.
          const soon = Date.now() / 1000 + 600;
          utimesSync(young, soon, soon);
          writeFileSync(file, 'a file');
          await tool(['stats', dirs.merged]);
          assert.deepEqual(
            [dead, young, alive, file].map((path) => existsSync(path)),
            [false, true, true, true],
          );
        } finally {
          server.close();
          for (const path of [dead, young, file]) rmSync(path, { force: true });
        }
      },
    });
  });

  /** The second report only has what happened since the first. */
  async function watched(path: string, how: readonly string[]): Promise<void> {
    const child = spawn(process.execPath, [CLI, 'stats', path, '--json', ...how], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    const twoLines = new Promise<void>((resolve) => {
      child.stdout.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        if (text.split('\n').length > 2) resolve();
      });
    });
    await twoLines;
    child.kill();
    const second = JSON.parse(text.split('\n')[1]!) as MountStats;
    assert.equal(
      second.requests.find(({ name }) => name === 'MKDIR'),
      undefined,
    );
  }
});
