/** INIT: what is negotiated with old and new kernels. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import {
  bytes,
  Fixture,
  initRequest,
  OFFER,
  reply,
  request,
  sameBytes,
  u16,
  u32,
} from '../support/fuse-bytes.js';
import { MemoryFs } from '../support/memory-fs.js';

const PASSTHROUGH = { dataMode: 'passthrough', onBackingOpen: () => 1 };
const fixture = (options = {}): Fixture => new Fixture(new MemoryFs(), options);

test('newest kernel, cached mode', () => {
  const f = fixture();
  sameBytes(
    f.send(
      request(
        { opcode: 26, nodeid: 0 },
        u32(7), // major
        u32(45), // minor
        u32(131072), // max_readahead
        u32(OFFER), // flags
        u32(0x5fd), // flags2
        Buffer.alloc(44), // unused
      ),
    ),
    reply(
      0,
      u32(7), // major
      u32(45), // minor
      u32(131072), // max_readahead
      // ASYNC_READ BIG_WRITES DONT_MASK HAS_IOCTL_DIR DO_READDIRPLUS NO_OPEN_SUPPORT PARALLEL_DIROPS POSIX_ACL
      // ABORT_ERROR MAX_PAGES CACHE_SYMLINKS NO_OPENDIR_SUPPORT EXPLICIT_INVAL_DATA HANDLE_KILLPRIV_V2
      // SETXATTR_EXT INIT_EXT
      u32(0x73f62861), // flags
      u16(64), // max_background
      u16(48), // congestion_threshold
      u32(1048576), // max_write
      u32(1), // time_gran
      u16(256), // max_pages
      u16(0), // map_alignment
      u32(0x40), // flags2: NO_EXPORT_SUPPORT
      u32(0), // max_stack_depth
      u16(0), // request_timeout
      Buffer.alloc(22), // unused
    ),
  );
  assert.deepEqual(f.server.negotiated, {
    minor: 45,
    flags: 0x73f62861,
    flags2: 0x40,
    maxWrite: 1048576,
    zeroOpen: true,
    zeroOpendir: true,
    setxattrExt: true,
    passthrough: false,
  });
});

test('newest kernel, passthrough mode', () => {
  const f = fixture(PASSTHROUGH);
  const body = f.ok(initRequest(45));
  // Without NO_OPEN_SUPPORT, with ATOMIC_O_TRUNC
  assert.equal(body.readUInt32LE(12), (0x73f62861 & ~(1 << 17)) | (1 << 3));
  assert.equal(body.readUInt32LE(32), 0x60, 'flags2: PASSTHROUGH, NO_EXPORT_SUPPORT');
  assert.equal(body.readUInt32LE(36), 2, 'max_stack_depth');
  assert.ok(f.server.negotiated.passthrough);
  assert.equal(f.log.at('warn').length, 0);
});

test('passthrough is not offered: logged once, and the mount works', () => {
  const f = fixture(PASSTHROUGH);
  const body = f.ok(initRequest(45, OFFER, 0));
  assert.equal(body.readUInt32LE(36), 0, 'max_stack_depth');
  assert.ok(!f.server.negotiated.passthrough);
  assert.equal(f.log.at('warn').length, 1);
});

test('7.31: a short request, no flags2', () => {
  const f = fixture();
  sameBytes(
    f.send(
      bytes(
        u32(56), // len: 40 + 16
        u32(26), // opcode: INIT
        u32(2), // unique
        u32(0),
        Buffer.alloc(24), // nodeid, uid, gid, pid, padding
        u32(7), // major
        u32(31), // minor
        u32(65536), // max_readahead
        u32(0x03ffffff), // flags
      ),
    ),
    reply(
      0,
      u32(7), // major
      u32(31), // minor
      u32(65536), // max_readahead
      u32(0x03f62861), // flags: as above without HANDLE_KILLPRIV_V2, SETXATTR_EXT, INIT_EXT
      u16(64), // max_background
      u16(48), // congestion_threshold
      u32(1048576), // max_write
      u32(1), // time_gran
      u16(256), // max_pages
      u16(0), // map_alignment
      Buffer.alloc(32), // unused
    ),
  );
});

test('without MAX_PAGES a write has 32 pages', () => {
  const f = fixture();
  const body = f.ok(initRequest(27, OFFER & ~(1 << 22)));
  assert.equal(body.readUInt32LE(20), 131072);
  assert.equal(f.server.negotiated.maxWrite, 131072);
});

test('before 7.23 the reply has 24 bytes', () => {
  assert.equal(fixture().ok(initRequest(22, 0x7fff)).length, 24);
});

test('flags2 is valid only with INIT_EXT', () => {
  const f = fixture(PASSTHROUGH);
  f.ok(initRequest(45, OFFER & ~(1 << 30)));
  assert.equal(f.server.negotiated.flags2, 0);
});

test('options: no ACLs, no xattrs, small writes', () => {
  const POSIX_ACL = 1 << 20;
  assert.equal(fixture({ acl: false }).init().server.negotiated.flags & POSIX_ACL, 0);
  assert.equal(fixture({ xattrs: false }).init().server.negotiated.flags & POSIX_ACL, 0);
  assert.equal(fixture({ maxWrite: 70000 }).init().server.negotiated.maxWrite, 69632);
  assert.equal(fixture({ maxWrite: 1 }).init().server.negotiated.maxWrite, 4096);
  assert.equal(fixture({ maxWrite: 2 ** 30 }).init().server.negotiated.maxWrite, 1048576);
});

test('a newer major version: the kernel gets ours and asks again', () => {
  const f = fixture();
  const body = f.ok(request({ opcode: 26, nodeid: 0 }, u32(8), u32(3), Buffer.alloc(56)));
  assert.deepEqual([body.readUInt32LE(0), body.readUInt32LE(4), body.length], [7, 45, 64]);
  assert.equal(f.server.negotiated.minor, 0, 'nothing is agreed on yet');
  f.init();
  assert.equal(f.server.negotiated.minor, 45);
});

test('a kernel that is too old is refused, and the log says why', () => {
  for (const [major, minor] of [
    [6, 99],
    [7, 11],
  ]) {
    const f = fixture();
    const EPROTO = 71;
    assert.equal(f.errno(request({ opcode: 26, nodeid: 0 }, u32(major!), u32(minor!))), EPROTO);
    assert.match(f.log.at('error')[0]!.text, /speaks FUSE \d+\.\d+, at least 7\.12 is needed/);
  }
});

test('a kernel newer than this code: our minor version', () => {
  const f = fixture();
  assert.equal(f.ok(initRequest(99)).readUInt32LE(4), 45);
});
