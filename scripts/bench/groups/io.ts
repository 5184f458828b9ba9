/** Large files, random access, durability. */

import { IO, SMALLEST } from '../fixtures.js';
import type { Measure, Scenario } from '../scenario.js';

const MIB = 1 << 20;

const PASSTHROUGH = { kernel: 1.1, fuseOverlayfs: 1 / 3 };
const first: Measure = {
  unit: 'MB/s',
  target: { kernel: 1 / 0.3, fuseOverlayfs: 1.05 },
  passthroughTarget: PASSTHROUGH,
};
const again: Measure = {
  unit: 'MB/s',
  target: { kernel: 1.1, fuseOverlayfs: 1.05 },
  passthroughTarget: PASSTHROUGH,
};
const random: Measure = { unit: 'µs', target: { fuseOverlayfs: 1.05 }, passthroughTarget: PASSTHROUGH };
const durable: Measure = { unit: 'ms', target: { kernel: 1.5, fuseOverlayfs: 1 / 2 } };

const MMAP = `
import mmap, sys, time
start = time.perf_counter()
with open(sys.argv[1], 'rb') as f, mmap.mmap(f.fileno(), 0, prot=mmap.PROT_READ) as m:
    total = 0
    for i in range(0, len(m), 4096):
        total += m[i]
print((time.perf_counter() - start) * 1000)
`;

function perSecond(mebibytes: number, ms: number): number {
  return (mebibytes * MIB) / 1e3 / ms;
}

const read: Scenario = {
  group: 'I/O',
  name: 'sequential read',
  fixture: IO,
  modifies: false,
  memoryMiB: (sizes) => sizes.ioMiB,
  quick: true,
  timeoutMs: 60_000,
  measures: { 'read, first': first, 'read, again': again },
  async run(stage, sizes) {
    const root = `${stage.root}/large`;
    const bytes = sizes.ioMiB * MIB;
    for (const turn of ['first', 'again']) {
      const ms = await stage.clientMs('readSequential', { root, bytes });
      stage.record(`read, ${turn}`, perSecond(sizes.ioMiB, ms));
    }
  },
};

const mapped: Scenario = {
  ...read,
  name: 'mmap',
  needs: ['python3'],
  measures: { 'mmap, first': first, 'mmap, again': again },
  async run(stage, sizes) {
    for (const turn of ['first', 'again']) {
      const ms = await stage.pythonMs(MMAP, [`${stage.root}/large`]);
      stage.record(`mmap, ${turn}`, perSecond(sizes.ioMiB, ms));
    }
  },
};

const randomRead: Scenario = {
  group: 'I/O',
  name: 'random read',
  fixture: IO,
  modifies: false,
  memoryMiB: (sizes) => sizes.ioMiB,
  quick: true,
  timeoutMs: 60_000,
  measures: { 'random 4 KiB read': random },
  async run(stage, sizes) {
    const args = { root: `${stage.root}/large`, bytes: sizes.ioMiB * MIB, count: sizes.randomOps };
    const ms = await stage.clientMs('readRandom', args);
    stage.record('random 4 KiB read', (ms * 1000) / sizes.randomOps);
  },
};

const write: Scenario = {
  group: 'I/O',
  name: 'write',
  fixture: SMALLEST,
  modifies: true,
  memoryMiB: (sizes) => 2 * sizes.ioMiB,
  quick: true,
  timeoutMs: 120_000,
  measures: {
    write: again,
    'write + fsync': again,
    'random 4 KiB write': random,
    'append + fsync': durable,
  },
  async run(stage, sizes) {
    const bytes = sizes.ioMiB * MIB;
    const root = `${stage.root}/new`;
    const plainWrite = await stage.clientMs('writeSequential', { root, bytes });
    stage.record('write', perSecond(sizes.ioMiB, plainWrite));
    await stage.sync();
    const synced = await stage.clientMs('writeSequential', { root: `${root}2`, bytes, fsync: true });
    stage.record('write + fsync', perSecond(sizes.ioMiB, synced));
    const ms = await stage.clientMs('writeRandom', { root, bytes, count: sizes.randomOps });
    stage.record('random 4 KiB write', (ms * 1000) / sizes.randomOps);
    await stage.sync();
    stage.record(
      'append + fsync',
      await stage.clientMs('appendFsync', { root: `${root}3`, count: sizes.fsyncs }),
    );
  },
};

const SQLITE = `
import sqlite3, sys, time
db = sqlite3.connect(sys.argv[1], isolation_level=None)
db.execute('create table if not exists t (id integer primary key, name text, value blob)')
commits, rows = int(sys.argv[2]), int(sys.argv[3])
start = time.perf_counter()
for i in range(commits):
    db.execute('insert into t (name, value) values (?, ?)', ('name %d' % i, b'x' * 100))
if rows:
    db.execute('begin')
    db.executemany('insert into t (name, value) values (?, ?)', (('name %d' % i, b'x' * 100) for i in range(rows)))
    db.execute('create index if not exists i on t (name)')
    db.execute('commit')
print((time.perf_counter() - start) * 1000)
`;

const sqlite: Scenario = {
  group: 'I/O',
  name: 'sqlite',
  fixture: SMALLEST,
  modifies: true,
  quick: true,
  timeoutMs: 60_000,
  needs: ['python3'],
  measures: { 'sqlite, commits': durable, 'sqlite, bulk': durable },
  async run(stage, sizes) {
    const database = `${stage.root}/database`;
    const commits = await stage.pythonMs(SQLITE, [database, String(sizes.sqliteCommits), '0']);
    stage.record('sqlite, commits', commits);
    stage.record('sqlite, bulk', await stage.pythonMs(SQLITE, [database, '0', String(sizes.sqliteRows)]));
  },
};

export const INPUT_OUTPUT: readonly Scenario[] = [read, mapped, randomRead, write, sqlite];
