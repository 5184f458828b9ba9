/** The lines of --debug, and messages that answer no request. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { invalInode } from '../../src/fuse/notify.js';
import { Deferred, fail } from '../../src/vfs/errors.js';
import type { NodeId } from '../../src/vfs/types.js';
import { bytes, Fixture, request, sameBytes, str, u32, u64 } from '../support/fuse-bytes.js';
import { MemoryFs } from '../support/memory-fs.js';

function traced(): { lines: string[]; f: Fixture; fs: MemoryFs } {
  const lines: string[] = [];
  const fs = new MemoryFs();
  let time = 0;
  const clock = (): number => {
    time += 0.014;
    return time;
  };
  const f = new Fixture(fs, { trace: (line) => lines.push(line), clock });
  return { lines, f, fs };
}

test('one line per request and reply', () => {
  const { lines, f, fs } = traced();
  f.init();
  f.send(request({ opcode: 9, uid: 1000, gid: 100 }, u32(0o755), u32(0), str('d"\xe9')));
  f.send(request({ opcode: 1 }, str('absent')));
  f.send(request({ opcode: 15, nodeid: 7 }, u64(3), u64(4096), u32(512), Buffer.alloc(20)));
  f.send(request({ opcode: 2, nodeid: 2 }, u64(1)));
  f.send(request({ opcode: 99 }));
  fs.rmdir = () => fail(39, 'unlinkat');
  f.send(request({ opcode: 11 }, str('d')));
  assert.deepEqual(lines, [
    '#2 INIT node 0 version 7.45 pid 4711 uid 0 gid 0',
    '#2 INIT = 64 bytes, 14 µs',
    '#2 MKDIR node 1 "d\\x22\\xe9" mode 0755 pid 4711 uid 1000 gid 100',
    '#2 MKDIR = node 2, 128 bytes, 14 µs',
    '#2 LOOKUP node 1 "absent" pid 4711 uid 0 gid 0',
    '#2 LOOKUP = negative, 128 bytes, 14 µs',
    '#2 READ node 7 fh 3 offset 4096 size 512 pid 4711 uid 0 gid 0',
    '#2 READ = ESTALE, 14 µs',
    '#2 FORGET node 2 nlookup 1 pid 4711 uid 0 gid 0',
    '#2 FORGET = no reply, 14 µs',
    '#2 opcode 99 node 1 pid 4711 uid 0 gid 0',
    '#2 opcode 99 = ENOSYS, 14 µs',
    '#2 RMDIR node 1 "d" pid 4711 uid 0 gid 0',
    '#2 RMDIR = ENOTEMPTY (unlinkat), 14 µs',
  ]);
});

test('parked and malformed requests', () => {
  const { lines, f, fs } = traced();
  fs.fsync = () => {
    throw new Deferred(7);
  };
  const fsync = request({ opcode: 20 }, u64(0), u64(0));
  f.server.handle(fsync, fsync.length);
  f.send(Buffer.alloc(3));
  f.send(request({ opcode: 1 }, str('a/b')));
  assert.deepEqual(lines, [
    '#2 FSYNC node 1 fh 0 pid 4711 uid 0 gid 0',
    '#2 FSYNC = parked on job 7',
    'malformed request: 3 bytes',
    '#0 opcode 0 = EIO (3 bytes), 14 µs',
    '#2 LOOKUP node 1 (malformed: a slash in a name) pid 4711 uid 0 gid 0',
    '#2 LOOKUP = EIO (a slash in a name), 14 µs',
  ]);
});

test('NOTIFY_INVAL_INODE', () => {
  sameBytes(
    invalInode(5 as NodeId),
    bytes(
      u32(40), // len
      u32(2), // error: FUSE_NOTIFY_INVAL_INODE
      u64(0), // unique: none
      u64(5), // ino
      u64(-1), // off: attributes only
      u64(0), // len
    ),
  );
  sameBytes(
    invalInode((2 ** 40) as NodeId, { offset: 2 ** 33, length: 10 }),
    bytes(u32(40), u32(2), u64(0), u64(2 ** 40), u64(2 ** 33), u64(10)),
  );
});
