/**
 * Serves one request of each common kind, so that the code cache of the bundle (bundle.mjs) contains the functions
 * that a mount runs first: otherwise V8 compiles them one by one while the first callers wait. Nothing is mounted: a socket with
 * the requests takes the place of /dev/fuse.
 */
'use strict';
const { mkdirSync, mkdtempSync, rmSync, writeFileSync, writeSync } = require('node:fs');
const { tmpdir } = require('node:os');

const AF_UNIX = 1;
const SOCK_SEQPACKET = 5;
const REG = 0o100644;

/** The two ends of a socket that preserves message boundaries, as /dev/fuse does. */
function socketpair() {
  const call = require('koffi').load('libc.so.6').func('socketpair', 'int', ['int', 'int', 'int', 'void *']);
  const pair = Buffer.alloc(8);
  if (call(AF_UNIX, SOCK_SEQPACKET, 0, pair) < 0) throw new Error('socketpair failed');
  return [pair.readInt32LE(0), pair.readInt32LE(4)];
}

/** Fields in order: a number is 32 bits, a bigint 64; a string ends with a NUL; [n]: n bytes of zeros. */
function pack(fields) {
  return Buffer.concat(
    fields.map((field) => {
      if (typeof field === 'string') return Buffer.from(`${field}\0`);
      if (Array.isArray(field)) return Buffer.alloc(field[0]);
      const bytes = Buffer.alloc(typeof field === 'bigint' ? 8 : 4);
      if (typeof field === 'bigint') bytes.writeBigUInt64LE(field);
      else bytes.writeUInt32LE(field);
      return bytes;
    }),
  );
}

/** Opcode, nodeid and arguments of each request (native-notes/fuse-abi.md). Nodeids are assigned in order, from 2. */
const REQUESTS = [
  ['INIT', 26, 0n, 7, 45, 1 << 20, 0x7fffffff, 0xff, [44]],
  ['GETATTR', 3, 1n, [16]],
  ['LOOKUP', 1, 1n, 'dir'], // 2
  ['LOOKUP', 1, 2n, 'one'], // 3
  ['LOOKUP', 1, 2n, 'two'], // 4
  ['LOOKUP', 1, 1n, 'missing'],
  ['GETATTR', 3, 3n, [16]],
  ['OPEN', 14, 3n, [8]],
  ['OPENDIR', 27, 1n, [8]],
  ['CREATE', 35, 1n, [16], 'made'],
  ['READ', 15, 3n, [16], 4096, [20]],
  ['FLUSH', 25, 3n, [24]],
  ['GETXATTR', 22, 3n, 4096, [4], 'security.capability'],
  ['LISTXATTR', 23, 3n, 4096, [4]],
  ['WRITE', 16, 3n, 0n, 3n, 2, [20], 'x'],
  ['SETATTR', 4, 4n, 1, [64], 0o600, [16]],
  ['MKDIR', 9, 1n, 0o755, 0, 'new'], // 5
  ['MKNOD', 8, 5n, REG, 0, 0, 0, 'file'], // 6
  ['WRITE', 16, 6n, 0n, 0n, 2, [20], 'x'],
  ['SETATTR', 4, 6n, 0x6, [84]],
  ['SETATTR', 4, 6n, 0x30, [84]],
  ['SETXATTR', 21, 6n, 2, 0, 0, 0, 'user.a', 'x'],
  ['REMOVEXATTR', 24, 6n, 'user.a'],
  ['COPY_FILE_RANGE_64', 53, 3n, [16], 6n, 0n, 0n, 3n, 0n],
  ['SYMLINK', 6, 5n, 'link', 'target'], // 7
  ['READLINK', 5, 7n],
  ['LINK', 13, 5n, 6n, 'again'],
  ['RENAME', 12, 5n, 5n, 'again', 'renamed'],
  ['UNLINK', 10, 5n, 'renamed'],
  ['UNLINK', 10, 2n, 'two'],
  ['MKDIR', 9, 5n, 0o755, 0, 'empty'], // 8
  ['RMDIR', 11, 5n, 'empty'],
  ['READDIRPLUS', 44, 1n, [16], 4096, [20]],
  ['READDIRPLUS', 44, 2n, [16], 4096, [20]],
  ['READDIRPLUS', 44, 2n, 0n, 99n, 4096, [20]],
  ['READDIRPLUS', 44, 5n, [16], 4096, [20]],
  ['LOOKUP', 1, 2n, 'one'],
  ['STATFS', 17, 1n],
  ['FORGET', 2, 8n, 1n],
  ['BATCH_FORGET', 42, 0n, 1, 0, 7n, 1n],
];

function send(fd) {
  let unique = 2n;
  for (const [, opcode, node, ...fields] of REQUESTS) {
    const body = pack(fields);
    writeSync(fd, Buffer.concat([pack([40 + body.length, opcode, unique, node, 0, 0, 1, 0]), body]));
    unique += 2n;
  }
}

/** Two lowers and an upper with a little in them. */
function makeLayers(dir) {
  for (const name of ['low/dir', 'mid/dir', 'up', 'work']) mkdirSync(`${dir}/${name}`, { recursive: true });
  writeFileSync(`${dir}/low/dir/one`, 'one');
  writeFileSync(`${dir}/mid/dir/two`, 'two');
}

/** `loadParts` of src/cli/bundled.ts. Resolves when all requests have been served. */
exports.rehearse = async (loadParts) => {
  const { planMount, Serving, createOverlay, Counters } = await loadParts();
  const dir = mkdtempSync(`${tmpdir()}/plyfs-rehearsal-`);
  try {
    makeLayers(dir);
    const layers = `lowerdir=${dir}/mid:${dir}/low,upperdir=${dir}/up,workdir=${dir}/work`;
    const words = { options: [layers, 'fsync=volatile'], source: null, mountpoint: dir, debug: false };
    const log = { fd: -1, level: 'silent', format: 'text' };
    const plan = planMount(words, log);
    const opened = plan.openLayers(plan.overlay);
    const [device, kernel] = socketpair();
    send(kernel);
    const done = new Error('all requests are served');
    // The loop asks for this before it sleeps, which is when the socket is empty.
    const timeout = () => {
      throw done;
    };
    const { options } = opened;
    const start = {
      fd: device,
      options,
      opened,
      dataMode: 'cached',
      btime: false,
      awakeFd: -1,
      hasTwoCpus: true,
      log,
      trace: false,
    };
    const host = { createOverlay, counters: new Counters(), events: { fd: -1, timeout }, onReady: () => {} };
    const serving = new Serving(start, host);
    try {
      while (serving.run() === null);
    } catch (error) {
      if (error !== done) throw error;
    }
  } finally {
    rmSync(dir, { recursive: true, force: true });
  }
};
