/** The dispatcher: errors, bugs, parked requests, replies that are undone, bytes that no kernel sends. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { allOps, rowOf, UNKNOWN } from '../../src/fuse/optable.js';
import { PARKED, Server } from '../../src/fuse/server.js';
import { Deferred, FsError, fail } from '../../src/vfs/errors.js';
import type { Caller, Entry, NodeId } from '../../src/vfs/types.js';
import {
  Fixture,
  initRequest,
  MemoryLog,
  reply,
  request,
  sameBytes,
  str,
  u32,
  u64,
} from '../support/fuse-bytes.js';
import { MemoryFs } from '../support/memory-fs.js';

const EIO = 5;
const ROOT = 1 as NodeId;
const root = { uid: 0, gid: 0, pid: 0, umask: 0 } as Caller;

function addFiles(fs: MemoryFs, count: number): void {
  const entry = { node: 0 as NodeId, attr: {} } as unknown as Entry;
  for (let i = 0; i < count; i++) {
    fs.mknod(ROOT, `file-${i}`, 0o100644, { major: 0, minor: 0 }, root, entry);
    fs.forget(entry.node, 1);
  }
}

const totalLookups = (fs: MemoryFs): number =>
  [...fs.nodes.values()].reduce((sum, inode) => sum + inode.nlookup, 0);

test('each opcode has exactly one row', () => {
  const codes = allOps.map((row) => row.code).sort((a, b) => a - b);
  assert.equal(new Set(codes).size, codes.length, 'a code twice');
  assert.equal(new Set(allOps.map((row) => row.name)).size, codes.length, 'a name twice');
  // enum fuse_opcode: 1..53 without 7 and 19
  const all = Array.from({ length: 53 }, (_, i) => i + 1).filter((code) => code !== 7 && code !== 19);
  assert.deepEqual(codes, all);
  for (const row of allOps) assert.equal(rowOf(row.code), row);
});

test('an unknown opcode: ENOSYS', () => {
  const f = new Fixture(new MemoryFs()).init();
  for (const opcode of [0, 7, 19, 54, 4096, 0xffffffff]) {
    assert.equal(rowOf(opcode), UNKNOWN);
    sameBytes(f.send(request({ opcode })), reply(-38));
  }
});

test('FsError becomes its errno and is not logged', () => {
  const fs = new MemoryFs();
  fs.unlink = () => fail(39, 'unlinkat');
  const f = new Fixture(fs).init();
  sameBytes(f.send(request({ opcode: 10 }, str('x'))), reply(-39));
  assert.equal(f.log.at('warn').length + f.log.at('error').length, 0);
});

test('a bug answers EIO, is logged with its stack, and the server lives on', () => {
  const fs = new MemoryFs();
  const { lookup } = fs;
  fs.lookup = () => {
    throw new TypeError('boom');
  };
  const f = new Fixture(fs).init();
  sameBytes(f.send(request({ opcode: 1, nodeid: 1 }, str('x'))), reply(-EIO));
  const [logged] = f.log.at('error');
  assert.equal(logged!.fields['op'], 'LOOKUP');
  assert.equal(logged!.fields['node'], 1);
  assert.match(String(logged!.fields['stack']), /TypeError: boom\n\s+at /);
  fs.lookup = lookup;
  assert.equal(f.errno(request({ opcode: 1, nodeid: 1 }, str('x'))), 0);
});

test('results and errors that the kernel would refuse become EIO', () => {
  const fs = new MemoryFs();
  const f = new Fixture(fs).init();
  const read = request({ opcode: 15 }, u64(0), u64(0), u32(10), Buffer.alloc(20));
  for (const bad of [2 ** 20 + 1, Number.NaN, -512]) {
    fs.read = () => bad;
    assert.equal(f.errno(read), EIO, String(bad));
  }
  for (const bad of [0, -2, 512, Number.NaN]) {
    fs.read = () => {
      throw new FsError(bad);
    };
    assert.equal(f.errno(read), EIO, String(bad));
  }
  fs.read = () => {
    throw null;
  };
  assert.equal(f.errno(read), EIO);
  assert.equal(f.log.at('error').length, 8);
});

test('a deferred request is parked, and served when it is handed in again', () => {
  const fs = new MemoryFs();
  addFiles(fs, 1);
  const { write } = fs;
  let ready = false;
  fs.write = (...args) => {
    if (!ready) throw new Deferred(42);
    return write.apply(fs, args);
  };
  const { server } = new Fixture(fs).init();
  const buffer = Buffer.alloc(8192);
  const length = request(
    { opcode: 16, nodeid: 2, unique: 10 },
    u64(0),
    u64(0),
    u32(4),
    Buffer.alloc(20),
    Buffer.from('data'),
  ).copy(buffer);
  assert.equal(server.handle(buffer, length), PARKED);
  assert.equal(server.parkedOn, 42);
  const copy = Buffer.from(buffer.subarray(0, length));
  const between = request({ opcode: 3, nodeid: 2, unique: 12 }, Buffer.alloc(16));
  between.copy(buffer);
  assert.ok(server.handle(buffer, between.length) > 0, 'others go on');
  ready = true;
  assert.equal(server.handle(copy, copy.length), 24);
  assert.equal(server.reply.readUInt32LE(8), 10, 'unique');
  assert.equal(
    fs.nodes
      .get(2 as NodeId)!
      .data.subarray(0, 4)
      .toString(),
    'data',
  );
});

test('READDIRPLUS: a lookup that does not fit is undone, even when fits() was not called', () => {
  const fs = new MemoryFs();
  addFiles(fs, 5);
  const entry = { node: 0 as NodeId, attr: {} } as unknown as Entry;
  fs.readdir = (_node, _fh, offset, _caller, sink) => {
    for (let i = offset; i < 5; i++) {
      fs.lookup(ROOT, `file-${i}`, root, entry);
      if (!sink.addPlus(`file-${i}`, entry, 8, i + 1)) return;
    }
  };
  const f = new Fixture(fs).init();
  const before = totalLookups(fs);
  // One record: 128 + 24 + 8 bytes
  const body = f.ok(request({ opcode: 44 }, u64(0), u64(0), u32(400), Buffer.alloc(20)));
  assert.equal(body.length, 320);
  assert.equal(totalLookups(fs) - before, 2);
});

test('READDIRPLUS: lookups of a reply that is never sent are undone', () => {
  const fs = new MemoryFs();
  addFiles(fs, 5);
  const { readdir } = fs;
  const before = totalLookups(fs);
  const f = new Fixture(fs).init();
  const plus = request({ opcode: 44 }, u64(0), u64(0), u32(4096), Buffer.alloc(20));
  for (const error of [new FsError(13), new Deferred(1), new Error('bug')]) {
    fs.readdir = (...args) => {
      readdir.apply(fs, args);
      throw error;
    };
    f.server.handle(plus, plus.length);
    assert.equal(totalLookups(fs), before, error.constructor.name);
  }
  fs.readdir = readdir;
  f.ok(plus);
  assert.equal(totalLookups(fs), before + 5);
});

test('an undelivered reply takes back what it gave', () => {
  const fs = new MemoryFs();
  addFiles(fs, 3);
  const before = totalLookups(fs);
  const { server } = new Fixture(fs).init();
  const requests = {
    LOOKUP: request({ opcode: 1 }, str('file-1')),
    negative: request({ opcode: 1 }, str('absent')),
    error: request({ opcode: 1, nodeid: 99 }, str('x')),
    READDIRPLUS: request({ opcode: 44 }, u64(0), u64(0), u32(4096), Buffer.alloc(20)),
    READDIR: request({ opcode: 28 }, u64(0), u64(0), u32(4096), Buffer.alloc(20)),
    CREATE: request({ opcode: 35 }, u32(0o102), u32(0o600), u32(0), u32(0), str('new')),
    GETATTR: request({ opcode: 3 }, Buffer.alloc(16)),
  };
  for (const [name, bytes] of Object.entries(requests)) {
    server.handle(bytes, bytes.length);
    server.undoReply();
    server.undoReply();
    assert.equal(totalLookups(fs), before, name);
    assert.equal(fs.handles.size, 0, name);
  }
});

test('malformed requests: EIO and a warning', () => {
  const f = new Fixture(new MemoryFs()).init();
  const bad: Record<string, Buffer> = {
    'no name': request({ opcode: 1 }),
    'empty name': request({ opcode: 1 }, str(''), str('')),
    'name without NUL': request({ opcode: 1 }, Buffer.from('abc')),
    slash: request({ opcode: 1 }, str('a/b')),
    dot: request({ opcode: 1 }, str('.')),
    'dot dot': request({ opcode: 10 }, str('..')),
    'short arguments': request({ opcode: 15 }, u64(0)),
    'one name of two': request({ opcode: 45 }, u64(1), u64(0), str('abc')),
    'more data announced than sent': request({ opcode: 16 }, u64(0), u64(0), u32(100), Buffer.alloc(20)),
    'longer value than sent': request({ opcode: 21 }, u32(100), u32(0), u64(0), str('user.x'), u64(0)),
    'longer ioctl data than sent': request({ opcode: 39 }, u64(0), u64(0), u64(0), u32(8), u32(0)),
    'extensions longer than the request': request({ opcode: 3, extlen: 1000 }, Buffer.alloc(16)),
    'extensions eat the arguments': request({ opcode: 3, extlen: 1 }, Buffer.alloc(16)),
  };
  for (const [name, bytes] of Object.entries(bad)) {
    const warnings = f.log.at('warn').length;
    sameBytes(f.send(bytes), reply(-EIO));
    assert.equal(f.log.at('warn').length, warnings + 1, name);
  }
  const lying = request({ opcode: 3 }, Buffer.alloc(16));
  lying.writeUInt32LE(1000, 0);
  sameBytes(f.send(lying), reply(-EIO));
  assert.equal(f.send(Buffer.alloc(8)).length, 0, 'no number: no reply');
  assert.equal(f.send(request({ opcode: 3, unique: 0 }, Buffer.alloc(16))).length, 0, 'number 0: no reply');
  assert.equal(f.send(request({ opcode: 42 }, u32(5), u32(0), u64(1), u64(1))).length, 0, 'BATCH_FORGET');
  assert.equal(f.log.at('error').length, 0);
});

test('a buffer at an odd address is served too', () => {
  const f = new Fixture(new MemoryFs()).init();
  const bytes = request({ opcode: 3 }, Buffer.alloc(16));
  const odd = Buffer.alloc(bytes.length + 1).subarray(1);
  bytes.copy(odd);
  assert.equal(f.ok(odd).length, 104);
  odd.writeUInt32LE(99, 16); // another nodeid: must not be served from a stale copy
  assert.equal(f.errno(odd), 116); // ESTALE
});

/** A small seeded generator (mulberry32). */
function random(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) % below;
  };
}

for (const seed of [1, 77, 20240607])
  test(`no bytes crash the server, seed ${seed}`, () => {
    const fs = new MemoryFs();
    addFiles(fs, 20);
    // Bounded memory: a fuzzed offset must not make the fake grow a file to 2^60 bytes.
    const { write, setattr } = fs;
    fs.write = (...a) => (a[2] > 1e6 ? fail(27) : write.apply(fs, a));
    fs.setattr = (...a) => (a[1].size !== null && a[1].size > 1e6 ? fail(27) : setattr.apply(fs, a));
    fs.fallocate = () => {};
    fs.copyFileRange = () => 0;
    const lines: string[] = [];
    const log = new MemoryLog();
    const trace = (line: string): void => {
      lines[0] = line;
    };
    const servers = [
      new Server(fs, { log, dataMode: 'cached', trace }),
      new Server(fs, { log, dataMode: 'passthrough', onBackingOpen: () => 1 }),
    ];
    const below = random(seed);
    const buffer = Buffer.alloc(4096);
    for (let i = 0; i < 30_000; i++) {
      const server = servers[i & 1]!;
      const args = below(200);
      for (let k = 0; k < 40 + args; k++) buffer[k] = below(4) === 0 ? below(256) : 0;
      const length = 40 + args - (below(20) === 0 ? below(40 + args) : 0);
      buffer.writeUInt32LE(below(10) === 0 ? below(300) : length, 0);
      buffer.writeUInt32LE(below(50) === 0 ? below(2 ** 32) : below(56), 4);
      buffer.writeUInt32LE(below(25), 16);
      buffer.writeUInt32LE(0, 20);
      if (below(5) !== 0) buffer.writeUInt32LE(0, 36);
      const total = server.handle(buffer, length);
      assert.ok(total >= 0 && total <= server.reply.length);
      if (total > 0) {
        assert.ok(total >= 16);
        assert.equal(server.reply.readUInt32LE(0), total);
        const error = server.reply.readInt32LE(4);
        assert.ok(error <= 0 && error > -512);
      }
    }
    const bugs = log.at('error').filter((line) => line.text.startsWith('bug'));
    assert.deepEqual(bugs.slice(0, 1), []);
    const last = initRequest(45);
    assert.equal(servers[0]!.handle(last, last.length), 80, 'still there');
  });
