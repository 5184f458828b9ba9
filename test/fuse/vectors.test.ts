/** Byte-exact requests and replies. Layouts: include/uapi/linux/fuse.h. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Caller, Entry, Fh, NodeId, OpenReply, SetAttr } from '../../src/vfs/types.js';
import {
  bytes,
  Fixture,
  initRequest,
  reply,
  request,
  sameBytes,
  str,
  u32,
  u64,
} from '../support/fuse-bytes.js';
import { MemoryFs } from '../support/memory-fs.js';

const FOREVER = 0x7fffffff;
const NOW = { sec: 1_700_000_000, nsec: 5 };

/** A tree: `d` (node 2), `d/file` (node 3, 5 bytes). All lookups are forgotten again. */
function tree(): MemoryFs {
  const fs = new MemoryFs(() => NOW);
  const caller = { uid: 1000, gid: 100, pid: 1, umask: 0 } as Caller;
  const entry = { node: 0 as NodeId, attr: {} } as unknown as Entry;
  fs.mkdir(1 as NodeId, 'd', 0o755, caller, entry);
  fs.mknod(2 as NodeId, 'file', 0o100644, { major: 0, minor: 0 }, caller, entry);
  fs.write(3 as NodeId, 0 as Fh, 0, Buffer.from('hello'), 5, null);
  fs.forget(2 as NodeId, 1);
  fs.forget(3 as NodeId, 1);
  return fs;
}

function fixture(): { fs: MemoryFs; f: Fixture } {
  const fs = tree();
  return { fs, f: new Fixture(fs).init() };
}

/** struct fuse_attr of `d/file`. */
const FILE_ATTR = bytes(
  u64(3), // ino
  u64(5), // size
  u64(1), // blocks
  u64(NOW.sec), // atime
  u64(NOW.sec), // mtime
  u64(NOW.sec), // ctime
  u32(5), // atimensec
  u32(5), // mtimensec
  u32(5), // ctimensec
  u32(0o100644), // mode
  u32(1), // nlink
  u32(1000), // uid
  u32(100), // gid
  u32(0), // rdev
  u32(4096), // blksize
  u32(0), // flags
);

/** struct fuse_entry_out of `d/file`. */
const FILE_ENTRY = bytes(
  u64(3), // nodeid
  u64(0), // generation
  u64(FOREVER), // entry_valid
  u64(FOREVER), // attr_valid
  u32(0), // entry_valid_nsec
  u32(0), // attr_valid_nsec
  FILE_ATTR,
);

test('LOOKUP of a file', () => {
  const { fs, f } = fixture();
  sameBytes(
    f.send(
      bytes(
        u32(45), // len: 40 + 5
        u32(1), // opcode: LOOKUP
        u64(2), // unique
        u64(2), // nodeid: d
        u32(0), // uid
        u32(0), // gid
        u32(77), // pid
        u32(0), // total_extlen, padding
        str('file'), // name
      ),
    ),
    bytes(
      u32(144), // len: 16 + 128
      u32(0), // error
      u64(2), // unique
      FILE_ENTRY,
    ),
  );
  assert.equal(fs.nlookup(3), 1);
});

test('LOOKUP of an absent name: nodeid 0 with a validity', () => {
  const f = new Fixture(tree(), { negativeTtl: 1.5 }).init();
  sameBytes(
    f.send(request({ opcode: 1, nodeid: 2 }, str('absent'))),
    reply(
      0,
      u64(0), // nodeid: negative
      u64(0), // generation
      u64(1), // entry_valid
      u64(0), // attr_valid
      u32(500_000_000), // entry_valid_nsec
      u32(0), // attr_valid_nsec
      Buffer.alloc(88), // attr
    ),
  );
});

test('names are bytes', () => {
  const { fs, f } = fixture();
  const raw = Buffer.from([0xff, 0x80, 0x0a, 0xc3, 0x28, 0]);
  const mkdir = request({ opcode: 9, nodeid: 1 }, u32(0o700), u32(0o22), raw);
  assert.equal(f.errno(mkdir), 0);
  assert.equal(f.errno(mkdir), 17, 'EEXIST: the same bytes are the same name');
  assert.ok([...fs.nodes.get(1 as NodeId)!.links.keys()].includes('\xff\x80\x0a\xc3\x28'));
});

test('GETATTR', () => {
  const { f } = fixture();
  sameBytes(
    f.send(
      request(
        { opcode: 3, nodeid: 3 },
        u32(0), // getattr_flags
        u32(0), // dummy
        u64(0), // fh
      ),
    ),
    reply(
      0,
      u64(FOREVER), // attr_valid
      u32(0), // attr_valid_nsec
      u32(0), // dummy
      FILE_ATTR,
    ),
  );
});

test('GETATTR: the handle is valid only with FUSE_GETATTR_FH', () => {
  const fs = tree();
  const seen: number[] = [];
  const { getattr } = fs;
  fs.getattr = (node, fh, out) => {
    seen.push(fh);
    getattr.call(fs, node, fh, out);
  };
  const f = new Fixture(fs).init();
  f.ok(request({ opcode: 3, nodeid: 3 }, u32(0), u32(0), u64(9)));
  f.ok(request({ opcode: 3, nodeid: 3 }, u32(1), u32(0), u64(9)));
  assert.deepEqual(seen, [0, 9]);
});

test('attributes beyond 32 bits and before 1970', () => {
  const fs = tree();
  fs.getattr = (_node, _fh, out) => {
    Object.assign(out, { inoLo: -1, inoHi: 0x7fffffff, size: 2 ** 40 + 3, blocks: 2 ** 33, mode: 0o20600 });
    Object.assign(out, {
      atime: -1,
      mtime: -(2 ** 33),
      ctime: 2 ** 34 + 1,
      rdevMajor: 0x123,
      rdevMinor: 0x45678,
    });
  };
  const body = new Fixture(fs).init().ok(request({ opcode: 3 }, Buffer.alloc(16)));
  assert.equal(body.readBigUInt64LE(16), 0x7fffffffffffffffn, 'ino');
  assert.equal(body.readBigUInt64LE(24), 2n ** 40n + 3n, 'size');
  assert.equal(body.readBigUInt64LE(32), 2n ** 33n, 'blocks');
  assert.equal(body.readBigInt64LE(40), -1n, 'atime');
  assert.equal(body.readBigInt64LE(48), -(2n ** 33n), 'mtime');
  assert.equal(body.readBigInt64LE(56), 2n ** 34n + 1n, 'ctime');
  assert.equal(body.readUInt32LE(92), 0x45612378, 'rdev: new_encode_dev()');
});

test('STATX has the birth time', () => {
  const f = new Fixture(tree(), { btime: true }).init();
  sameBytes(
    f.send(
      request(
        { opcode: 52, nodeid: 3 },
        u32(0), // getattr_flags
        u32(0), // reserved
        u64(0), // fh
        u32(0), // sx_flags
        u32(0xfff), // sx_mask
      ),
    ),
    reply(
      0,
      u64(FOREVER), // attr_valid
      u32(0), // attr_valid_nsec
      u32(0), // flags
      u64(0), // spare
      u64(0), // spare
      u32(0xfff), // mask: STATX_BASIC_STATS | STATX_BTIME
      u32(4096), // blksize
      u64(0), // attributes
      u32(1), // nlink
      u32(1000), // uid
      u32(100), // gid
      u32(0o100644), // mode (16 bits), spare
      u64(3), // ino
      u64(5), // size
      u64(1), // blocks
      u64(0), // attributes_mask
      ...[0, 1, 2, 3].flatMap(() => [u64(NOW.sec), u32(5), u32(0)]), // atime, btime, ctime, mtime
      u32(0), // rdev_major
      u32(0), // rdev_minor
      u32(0), // dev_major
      u32(0), // dev_minor
      Buffer.alloc(112), // spare
    ),
  );
});

test('SETATTR: every valid field, and no other', () => {
  const fs = tree();
  const seen: unknown[] = [];
  fs.setattr = (_node, change: SetAttr) => {
    seen.push(structuredClone({ ...change }));
  };
  const f = new Fixture(fs).init();
  const setattr = (valid: number): Buffer =>
    request(
      { opcode: 4, nodeid: 3 },
      u32(valid), // valid
      u32(0), // padding
      u64(7), // fh
      u64(2 ** 33), // size
      u64(0), // lock_owner
      u64(-5), // atime
      u64(100), // mtime
      u64(200), // ctime
      u32(1), // atimensec
      u32(2), // mtimensec
      u32(3), // ctimensec
      u32(0o4755), // mode
      u32(0), // unused4
      u32(10), // uid
      u32(20), // gid
      u32(0), // unused5
    );
  f.ok(setattr(0));
  // MODE | UID | GID | SIZE | ATIME | MTIME | FH | CTIME | KILL_SUIDGID
  f.ok(setattr(0b1100_0111_1111));
  // ATIME | MTIME | ATIME_NOW | MTIME_NOW
  f.ok(setattr(0b1_1011_0000));
  // SIZE
  f.ok(setattr(0b1000));
  const none = { mode: null, uid: null, gid: null, size: null, byName: false, atime: null, mtime: null };
  const now = { sec: 0, nsec: 0x3fffffff };
  assert.deepEqual(seen, [
    { ...none, killSuidGid: false },
    {
      mode: 0o4755,
      uid: 10,
      gid: 20,
      size: 2 ** 33,
      byName: false,
      atime: { sec: -5, nsec: 1 },
      mtime: { sec: 100, nsec: 2 },
      killSuidGid: true,
    },
    { ...none, atime: now, mtime: now, killSuidGid: false },
    { ...none, size: 2 ** 33, byName: true, killSuidGid: false },
  ]);
});

test('READ and WRITE', () => {
  const { fs, f } = fixture();
  const write = request(
    { opcode: 16, nodeid: 3 },
    u64(0), // fh
    u64(4), // offset
    u32(7), // size
    u32(4), // write_flags: FUSE_WRITE_KILL_SUIDGID
    u64(0), // lock_owner
    u32(0), // flags
    u32(0), // padding
    Buffer.from('o world'),
  );
  fs.nodes.get(3 as NodeId)!.mode |= 0o4000;
  sameBytes(f.send(write), reply(0, u32(7), u32(0)));
  assert.equal(fs.nodes.get(3 as NodeId)!.mode & 0o4000, 0, 'set-uid is cleared');
  const read = (offset: number, size: number): Buffer =>
    request(
      { opcode: 15, nodeid: 3 },
      u64(0), // fh
      u64(offset), // offset
      u32(size), // size
      u32(0), // read_flags
      u64(0), // lock_owner
      u32(0), // flags
      u32(0), // padding
    );
  sameBytes(f.send(read(0, 4096)), reply(0, Buffer.from('hello world')));
  sameBytes(f.send(read(6, 3)), reply(0, Buffer.from('wor')));
  sameBytes(f.send(read(11, 3)), reply(0));
  assert.equal(f.errno(read(0, 2 ** 20 + 1)), 5, 'more than a reply holds: EIO, not a short read');
});

test('READDIR', () => {
  const { f } = fixture();
  const dirent = (ino: number, off: number, type: number, name: string): Buffer =>
    bytes(
      u64(ino), // ino
      u64(off), // off
      u32(name.length), // namelen
      u32(type), // type
      Buffer.from(name),
      Buffer.alloc((8 - (name.length % 8)) % 8), // padding
    );
  const readdir = (offset: number, size: number): Buffer =>
    request({ opcode: 28, nodeid: 2 }, u64(0), u64(offset), u32(size), Buffer.alloc(20));
  sameBytes(
    f.send(readdir(0, 4096)),
    reply(0, dirent(2, 1, 4, '.'), dirent(1, 2, 4, '..'), dirent(3, 4, 8, 'file')),
  );
  sameBytes(f.send(readdir(0, 40)), reply(0, dirent(2, 1, 4, '.')));
  sameBytes(f.send(readdir(2, 4096)), reply(0, dirent(3, 4, 8, 'file')));
  sameBytes(f.send(readdir(4, 4096)), reply(0));
  assert.equal(f.errno(readdir(0, 16)), 22, 'no room for one entry');
});

test('READDIRPLUS', () => {
  const { fs, f } = fixture();
  sameBytes(
    f.send(
      request(
        { opcode: 44, nodeid: 2 },
        u64(0), // fh
        u64(1), // offset: after "."
        u32(4096), // size
        u32(0), // read_flags
        u64(0), // lock_owner
        u32(0), // flags
        u32(0), // padding
      ),
    ),
    reply(
      0,
      Buffer.alloc(128), // entry_out of "..": nodeid 0, not looked up
      u64(1), // ino
      u64(2), // off
      u32(2), // namelen
      u32(4), // type: DT_DIR
      Buffer.from('..\0\0\0\0\0\0'), // name, padded
      FILE_ENTRY, // entry_out of "file"
      u64(3), // ino
      u64(4), // off
      u32(4), // namelen
      u32(8), // type: DT_REG
      Buffer.from('file\0\0\0\0'), // name, padded
    ),
  );
  assert.equal(fs.nlookup(3), 1);
  assert.equal(fs.nlookup(1), 1, '".." was not looked up');
});

test('CREATE under zero-message opens: never again, MKNOD does it', () => {
  const { f } = fixture();
  const create = request({ opcode: 35, nodeid: 2 }, u32(0o102), u32(0o100666), u32(0o22), u32(0), str('new'));
  assert.equal(f.errno(create), 38, 'ENOSYS');
});

test('CREATE: entry and handle; opened cached it keeps pages', () => {
  const fs = tree();
  const f = new Fixture(fs, { dataMode: 'passthrough' }).init();
  const answer = f.ok(
    request(
      { opcode: 35, nodeid: 2, uid: 1000, gid: 100 },
      u32(0o102), // flags: O_CREAT | O_RDWR
      u32(0o100666), // mode
      u32(0o22), // umask
      u32(0), // open_flags
      str('new'),
    ),
  );
  assert.equal(answer.length, 144);
  assert.equal(answer.readUInt32LE(40 + 60), 0o100644, 'mode after the umask');
  sameBytes(
    answer.subarray(128),
    bytes(
      u64(1), // fh
      u32(0x22), // open_flags: FOPEN_KEEP_CACHE | FOPEN_NOFLUSH
      u32(0), // backing_id
    ),
  );
  assert.equal(f.errno(request({ opcode: 18, nodeid: 4 }, u64(1), u32(0), u32(0), u64(0))), 0, 'RELEASE');
  assert.equal(fs.handles.size, 0);
});

test('TMPFILE: no name', () => {
  const { fs, f } = fixture();
  const answer = f.ok(
    request({ opcode: 51, nodeid: 2 }, u32(0o20200002), u32(0o100600), u32(0), u32(0), str('#x')),
  );
  assert.equal(answer.length, 144);
  assert.equal(fs.nodes.get(4 as NodeId)!.nlink, 0);
});

test('MKNOD decodes the device', () => {
  const { fs, f } = fixture();
  f.ok(
    request(
      { opcode: 8, nodeid: 2 },
      u32(0o020600), // mode: S_IFCHR
      u32(0x45612378), // rdev: new_encode_dev()
      u32(0), // umask
      u32(0), // padding
      str('dev'),
    ),
  );
  assert.deepEqual(fs.nodes.get(4 as NodeId)!.rdev, { major: 0x123, minor: 0x45678 });
});

test('SYMLINK and READLINK', () => {
  const { f } = fixture();
  f.ok(request({ opcode: 6, nodeid: 2 }, str('s'), str('../\xe9/x')));
  sameBytes(f.send(request({ opcode: 5, nodeid: 4 })), reply(0, Buffer.from('../\xe9/x', 'latin1')));
});

test('LINK, UNLINK, RMDIR', () => {
  const { fs, f } = fixture();
  f.ok(request({ opcode: 13, nodeid: 1 }, u64(3), str('hard')));
  assert.equal(fs.nodes.get(3 as NodeId)!.nlink, 2);
  sameBytes(f.send(request({ opcode: 10, nodeid: 1 }, str('hard'))), reply(0));
  sameBytes(f.send(request({ opcode: 11, nodeid: 1 }, str('d'))), reply(-39)); // ENOTEMPTY
  f.ok(request({ opcode: 10, nodeid: 2 }, str('file')));
  f.ok(request({ opcode: 11, nodeid: 1 }, str('d')));
});

test('RENAME and RENAME2', () => {
  const fs = tree();
  const seen: unknown[] = [];
  fs.rename = (from, to, flags) => {
    seen.push([{ ...from }, { ...to }, flags]);
  };
  const f = new Fixture(fs).init();
  f.ok(
    request(
      { opcode: 12, nodeid: 2 },
      u64(1), // newdir
      str('file'), // old name
      str('moved'), // new name
    ),
  );
  f.ok(
    request(
      { opcode: 45, nodeid: 2 },
      u64(1), // newdir
      u32(2), // flags: RENAME_EXCHANGE
      u32(0), // padding
      str('file'), // old name
      str('moved'), // new name
    ),
  );
  const places = [
    { parent: 2, name: 'file' },
    { parent: 1, name: 'moved' },
  ];
  assert.deepEqual(seen, [
    [...places, 0],
    [...places, 2],
  ]);
});

test('FORGET and BATCH_FORGET have no reply', () => {
  const { fs, f } = fixture();
  f.ok(request({ opcode: 1, nodeid: 1 }, str('d')));
  for (let i = 0; i < 3; i++) f.ok(request({ opcode: 1, nodeid: 2 }, str('file')));
  assert.equal(fs.nlookup(3), 3);
  assert.equal(f.send(request({ opcode: 2, nodeid: 3 }, u64(1))).length, 0);
  assert.equal(fs.nlookup(3), 2);
  const batch = request(
    { opcode: 42, nodeid: 0 },
    u32(2), // count
    u32(0), // dummy
    u64(2), // nodeid
    u64(1), // nlookup
    u64(3), // nodeid
    u64(2), // nlookup
  );
  assert.equal(f.send(batch).length, 0);
  assert.deepEqual([fs.nlookup(2), fs.nlookup(3)], [0, 0]);
});

test('SETXATTR with SETXATTR_EXT', () => {
  const { fs, f } = fixture();
  fs.nodes.get(3 as NodeId)!.mode |= 0o2000;
  sameBytes(
    f.send(
      request(
        { opcode: 21, nodeid: 3 },
        u32(3), // size
        u32(1), // flags: XATTR_CREATE
        u32(1), // setxattr_flags: FUSE_SETXATTR_ACL_KILL_SGID
        u32(0), // padding
        str('user.a/b'), // name
        Buffer.from([0, 1, 255]), // value
      ),
    ),
    reply(0),
  );
  assert.deepEqual(fs.nodes.get(3 as NodeId)!.xattrs.get('user.a/b'), Buffer.from([0, 1, 255]));
  assert.equal(fs.nodes.get(3 as NodeId)!.mode & 0o2000, 0);
});

test('SETXATTR without SETXATTR_EXT', () => {
  const fs = tree();
  const f = new Fixture(fs);
  // INIT of Linux 5.10, which has no SETXATTR_EXT
  f.ok(request({ opcode: 26, nodeid: 0 }, u32(7), u32(32), u32(131072), u32(0x03ffffff)));
  f.ok(
    request(
      { opcode: 21, nodeid: 3 },
      u32(3), // size
      u32(0), // flags
      str('user.a'), // name
      Buffer.from('abc'), // value
    ),
  );
  assert.equal(
    fs.nodes
      .get(3 as NodeId)!
      .xattrs.get('user.a')!
      .toString(),
    'abc',
  );
});

test('GETXATTR, LISTXATTR, REMOVEXATTR', () => {
  const { fs, f } = fixture();
  fs.setxattr(3 as NodeId, 'user.x', Buffer.from('value'), 0, false);
  const get = (size: number): Buffer => request({ opcode: 22, nodeid: 3 }, u32(size), u32(0), str('user.x'));
  sameBytes(f.send(get(0)), reply(0, u32(5), u32(0)));
  sameBytes(f.send(get(64)), reply(0, Buffer.from('value')));
  sameBytes(f.send(get(2)), reply(-34)); // ERANGE
  const list = (size: number): Buffer => request({ opcode: 23, nodeid: 3 }, u32(size), u32(0));
  sameBytes(f.send(list(0)), reply(0, u32(7), u32(0)));
  sameBytes(f.send(list(64)), reply(0, str('user.x')));
  sameBytes(f.send(request({ opcode: 24, nodeid: 3 }, str('user.x'))), reply(0));
  sameBytes(f.send(get(64)), reply(-61)); // ENODATA
  const none = new Fixture(fs, { xattrs: false }).init();
  for (const opcode of [21, 22, 23, 24]) {
    sameBytes(none.send(request({ opcode, nodeid: 3 }, u32(0), u32(0), u64(0), str('n'))), reply(-38)); // ENOSYS
  }
});

test('STATFS', () => {
  const { f } = fixture();
  sameBytes(
    f.send(request({ opcode: 17, nodeid: 1 })),
    reply(
      0,
      u64(1 << 20), // blocks
      u64(1 << 19), // bfree
      u64(1 << 19), // bavail
      u64(1 << 16), // files
      u64((1 << 16) - 3), // ffree
      u32(4096), // bsize
      u32(255), // namelen
      u32(4096), // frsize
      u32(0), // padding
      Buffer.alloc(24), // spare
    ),
  );
});

const FS_IOC_SETFLAGS = 0x40086602;
const FS_IOC_GETFLAGS = 0x80086601;

function ioctl(command: number, outSize: number, data: Buffer): Buffer {
  return request(
    { opcode: 39, nodeid: 3 },
    u64(0), // fh
    u32(0), // flags
    u32(command), // cmd
    u64(0x7ffc_0000), // arg: a pointer of the caller
    u32(data.length), // in_size
    u32(outSize), // out_size
    data,
  );
}

test('IOCTL: flags in and out', () => {
  const { fs, f } = fixture();
  sameBytes(f.send(ioctl(FS_IOC_SETFLAGS, 0, u64(0x10))), reply(0, Buffer.alloc(16)));
  assert.equal(fs.nodes.get(3 as NodeId)!.flags, 0x10);
  sameBytes(
    f.send(ioctl(FS_IOC_GETFLAGS, 4, Buffer.alloc(0))),
    reply(
      0,
      u32(0), // result
      u32(0), // flags
      u32(0), // in_iovs
      u32(0), // out_iovs
      u32(0x10), // data
    ),
  );
  sameBytes(f.send(ioctl(0x5401, 4, Buffer.alloc(0))), reply(-25)); // ENOTTY
});

test('IOCTL: not served to kernels that do not check who sets flags', () => {
  const fs = tree();
  const f = new Fixture(fs);
  f.send(initRequest(33));
  sameBytes(f.send(ioctl(FS_IOC_SETFLAGS, 0, u64(0x10))), reply(-25)); // ENOTTY
  sameBytes(f.send(ioctl(FS_IOC_GETFLAGS, 4, Buffer.alloc(0))), reply(-25)); // ENOTTY
  assert.equal(fs.nodes.get(3 as NodeId)!.flags, 0);
});

test('LSEEK, FALLOCATE, FSYNC, FSYNCDIR, SYNCFS', () => {
  const { fs, f } = fixture();
  const SEEK_HOLE = 4;
  sameBytes(
    f.send(request({ opcode: 46, nodeid: 3 }, u64(0), u64(1), u32(SEEK_HOLE), u32(0))),
    reply(0, u64(5)),
  );
  sameBytes(f.send(request({ opcode: 46, nodeid: 3 }, u64(0), u64(9), u32(SEEK_HOLE), u32(0))), reply(-6)); // ENXIO
  f.ok(request({ opcode: 43, nodeid: 3 }, u64(0), u64(0), u64(100), u32(0), u32(0)));
  assert.equal(fs.nodes.get(3 as NodeId)!.size, 100);
  f.ok(request({ opcode: 20, nodeid: 3 }, u64(0), u32(1), u32(0)));
  f.ok(request({ opcode: 30, nodeid: 2 }, u64(0), u32(0), u32(0)));
  f.ok(request({ opcode: 50, nodeid: 1 }, u64(0)));
});

test('COPY_FILE_RANGE and its 64-bit form', () => {
  const { fs, f } = fixture();
  const copy = (opcode: number, flags: number): Buffer =>
    request(
      { opcode, nodeid: 3 },
      u64(0), // fh_in
      u64(1), // off_in
      u64(3), // nodeid_out
      u64(0), // fh_out
      u64(10), // off_out
      u64(2n ** 63n - 1n), // len
      u64(flags), // flags
    );
  sameBytes(f.send(copy(47, 0)), reply(0, u32(4), u32(0)));
  assert.equal(
    fs.nodes
      .get(3 as NodeId)!
      .data.subarray(10, 14)
      .toString(),
    'ello',
  );
  assert.equal(f.ok(copy(53, 0)).readBigUInt64LE(), 13n);
  sameBytes(f.send(copy(53, 1)), reply(-22)); // EINVAL: no flags are defined
});

test('OPEN in cached mode: never ask again', () => {
  const { f } = fixture();
  const ENOSYS = -38;
  sameBytes(f.send(request({ opcode: 14, nodeid: 3 }, u32(0), u32(0))), reply(ENOSYS));
  sameBytes(f.send(request({ opcode: 27, nodeid: 2 }, u32(0), u32(0))), reply(ENOSYS));
  sameBytes(f.send(request({ opcode: 25, nodeid: 3 }, u64(0), u32(0), u32(0), u64(0))), reply(ENOSYS));
  sameBytes(f.send(request({ opcode: 34, nodeid: 3 }, u32(4), u32(0))), reply(ENOSYS));
});

test('an old kernel without zero-message opens gets handles', () => {
  const fs = tree();
  const f = new Fixture(fs);
  f.ok(request({ opcode: 26, nodeid: 0 }, u32(7), u32(22), u32(131072), u32(0x7fff)));
  const OPEN_OUT = bytes(u64(1), u32(0x22), u32(0));
  sameBytes(f.send(request({ opcode: 14, nodeid: 3 }, u32(0), u32(0))), reply(0, OPEN_OUT));
  const opendir = f.ok(request({ opcode: 27, nodeid: 2 }, u32(0), u32(0)));
  assert.equal(opendir.readUInt32LE(0), 2);
  f.ok(request({ opcode: 29, nodeid: 2 }, u64(2), u32(0), u32(0), u64(0)));
  assert.equal(fs.handles.size, 1);
});

test('passthrough: one backing id per node while it is open', () => {
  const fs = tree();
  const { open } = fs;
  fs.open = (node, flags, caller, out: OpenReply) => {
    open.call(fs, node, flags, caller, out);
    out.backingFd = 33;
  };
  const events: string[] = [];
  const f = new Fixture(fs, {
    dataMode: 'passthrough',
    onBackingOpen: (fd) => events.push(`open ${fd}`) + 10,
    onBackingClose: (id) => events.push(`close ${id}`),
  }).init();
  const opening = request({ opcode: 14, nodeid: 3 }, u32(0), u32(0));
  // FOPEN_PASSTHROUGH | FOPEN_NOFLUSH; the kernel refuses FOPEN_KEEP_CACHE here
  sameBytes(f.send(opening), reply(0, u64(1), u32(0xa0), u32(11)));
  sameBytes(f.send(opening), reply(0, u64(2), u32(0xa0), u32(11)));
  f.ok(request({ opcode: 18, nodeid: 3 }, u64(1), Buffer.alloc(16)));
  assert.deepEqual(events, ['open 33']);
  f.ok(request({ opcode: 18, nodeid: 3 }, u64(2), Buffer.alloc(16)));
  assert.deepEqual(events, ['open 33', 'close 11']);
});

test('passthrough: a node is open in one way only; the first handle decides', () => {
  const fs = tree();
  let [fh, backingFd, id] = [4, 33, -1];
  fs.open = (_node, _flags, _caller, out: OpenReply) => {
    out.fh = ++fh as Fh;
    out.backingFd = backingFd;
  };
  const f = new Fixture(fs, { dataMode: 'passthrough', onBackingOpen: () => id }).init();
  const opening = request({ opcode: 14, nodeid: 3 }, u32(0), u32(0));
  const release = (handle: number): Buffer =>
    f.ok(request({ opcode: 18, nodeid: 3 }, u64(handle), Buffer.alloc(16)));
  const cached = (handle: number): Buffer => reply(0, u64(handle), u32(0x22), u32(0));
  const passed = (handle: number): Buffer => reply(0, u64(handle), u32(0xa0), u32(7));
  sameBytes(f.send(opening), cached(5)); // the registration failed
  id = 7;
  sameBytes(f.send(opening), cached(6)); // it would work now, but the node is open cached
  release(5);
  release(6);
  sameBytes(f.send(opening), passed(7));
  backingFd = -1;
  sameBytes(f.send(opening), passed(8));
  release(7);
  release(8);
  sameBytes(f.send(opening), cached(9));
  assert.equal(f.log.at('warn').length, 1);
});

test('offsets that a double can not represent: EFBIG, not another byte', () => {
  const { f } = fixture();
  const EFBIG = 27;
  const far = u64(2n ** 53n + 1n);
  assert.equal(
    f.errno(request({ opcode: 16, nodeid: 3 }, u64(0), far, u32(1), Buffer.alloc(20), u64(0))),
    EFBIG,
  );
  assert.equal(f.errno(request({ opcode: 15, nodeid: 3 }, u64(0), far, u32(1), Buffer.alloc(20))), EFBIG);
  assert.equal(f.errno(request({ opcode: 43, nodeid: 3 }, u64(0), u64(0), far, u32(0), u32(0))), EFBIG);
  const truncate = request({ opcode: 4, nodeid: 3 }, u32(1 << 3), u32(0), u64(0), far, Buffer.alloc(64));
  assert.equal(f.errno(truncate), EFBIG);
});

test('LSEEK beyond what a double can represent: ENXIO, since there is no data', () => {
  const { f } = fixture();
  for (const offset of [2n ** 53n, 2n ** 62n, 2n ** 63n - 2n]) {
    for (const whence of [3, 4]) {
      const seek = request({ opcode: 46, nodeid: 3 }, u64(0), u64(offset), u32(whence), u32(0));
      assert.equal(f.errno(seek), 6, `${offset} ${whence}`);
    }
  }
});

test('OPEN with O_TRUNC clears set-id bits first, when the kernel asks for it', () => {
  const fs = tree();
  const f = new Fixture(fs, { dataMode: 'passthrough' }).init();
  fs.nodes.get(3 as NodeId)!.mode |= 0o6000;
  f.ok(
    request(
      { opcode: 14, nodeid: 3 },
      u32(0o1001), // flags: O_WRONLY | O_TRUNC
      u32(1), // open_flags: FUSE_OPEN_KILL_SUIDGID
    ),
  );
  const inode = fs.nodes.get(3 as NodeId)!;
  assert.deepEqual([inode.mode & 0o6000, inode.size], [0, 0]);
});

test('DESTROY', () => {
  const { fs, f } = fixture();
  sameBytes(f.send(request({ opcode: 38, nodeid: 0 })), reply(0));
  assert.ok(fs.destroyed);
});
