/** Paths on a filesystem of inodes: the requests of libfuse, without libfuse. */
import assert from 'node:assert/strict';
import { beforeEach, describe, it } from 'node:test';
import { timesOf } from '../../src/fuse-native/channel.js';
import { entryWords, Ino32, statfsWords } from '../../src/fuse-native/encode.js';
import { NameCache } from '../../src/fuse-native/name-cache.js';
import { NodeRefs } from '../../src/fuse-native/node-refs.js';
import { PathFiles } from '../../src/fuse-native/path-files.js';
import { EBUSY, EILSEQ, ENOENT, ENOTDIR, EPERM } from '../../src/sys/errno.js';
import { Caller, FsStat } from '../../src/vfs/types.js';
import { MemoryFs } from '../support/memory-fs.js';

const HIDDEN = '.fuse_hidden0000000200000001';

let fs: MemoryFs;
let files: PathFiles;
beforeEach(() => {
  fs = new MemoryFs();
  files = new PathFiles(fs, false);
});

function fails(errno: number, act: () => unknown): void {
  assert.throws(act, (error: unknown) => (error as { errno?: number }).errno === errno);
}

function write(path: string, text: string): void {
  const handle = files.create(path, 0o100644);
  files.write(handle, Buffer.from(text), text.length, 0);
  files.release(handle);
}

function read(handle: number): string {
  const into = Buffer.alloc(100);
  return into.toString('latin1', 0, files.read(handle, into, 100, 0));
}

function cat(path: string): string {
  const handle = files.open(path);
  const text = read(handle);
  files.release(handle);
  return text;
}

describe('paths', () => {
  it('lead to nodes at any depth', () => {
    for (const path of ['/a', '/a/b', '/a/b/c']) files.mkdir(path, 0o755);
    write('/a/b/c/f', 'deep');
    assert.equal(cat('/a/b/c/f'), 'deep');
    fails(ENOENT, () => files.getattr('/a/x/y'));
    fails(ENOTDIR, () => files.getattr('/a/b/c/f/g'));
    assert.deepEqual([...files.readdir('/a')[0]].sort(), ['.', '..', 'b']);
  });

  it('mean something else after a directory was renamed', () => {
    files.mkdir('/a', 0o755);
    files.mkdir('/a/d', 0o755);
    files.mkdir('/b', 0o755);
    write('/a/d/f', 'one');
    write('/b/f', 'two');
    assert.equal(cat('/a/d/f'), 'one');
    files.rename('/a/d', '/b/d');
    fails(ENOENT, () => files.getattr('/a/d/f'));
    assert.equal(cat('/b/d/f'), 'one');
    files.mkdir('/a/d', 0o755);
    fails(ENOENT, () => files.getattr('/a/d/f'));
    files.rename('/b/f', '/b/d/f');
    assert.equal(cat('/b/d/f'), 'two');
  });

  it('mean something else after a name was removed', () => {
    write('/f', 'file');
    files.unlink('/f');
    fails(ENOENT, () => files.getattr('/f'));
    files.mkdir('/f', 0o755);
    write('/f/g', 'x');
    files.unlink('/f/g');
    files.rmdir('/f');
    fails(ENOENT, () => files.getattr('/f/g'));
    write('/f', 'again');
    assert.equal(cat('/f'), 'again');
  });

  it('are text: names that may not have been UTF-8 are refused', () => {
    write('/grün', 'x');
    assert.ok(files.readdir('/')[0].includes('grün'));
    fails(EILSEQ, () => files.getattr('/\ufffd'));
    fails(EILSEQ, () => files.symlink('\ufffd', '/l'));
    fs.mkdir(1 as never, '\xff', 0o755, new Caller(), { node: 0 as never, attr: {} as never } as never);
    fails(EILSEQ, () => files.readdir('/'));
    assert.equal(fs.handles.size, 0, 'the directory was closed');
  });
});

describe('forgets', () => {
  it('balance lookups', () => {
    files.mkdir('/d', 0o755);
    write('/d/f', 'x');
    files.link('/d/f', '/d/g');
    files.getattr('/d/g');
    files.symlink('f', '/d/l');
    const open = files.open('/d/f');
    files.rename('/d', '/e');
    files.unlink('/e/f');
    files.getattr('/e/g');
    assert.equal(read(open), 'x');
    files.release(open);
    assert.equal(files.dispose(), 0);
    for (let node = 2; node < 12; node++) assert.equal(fs.nlookup(node), 0, `node ${node}`);
  });

  it('come with evictions, which evict no directory before its entries', () => {
    const refs = new NodeRefs(fs);
    const names = new NameCache(fs, refs, new Caller(), 8);
    files.mkdir('/d', 0o755);
    files.mkdir('/d/e', 0o755);
    for (let i = 0; i < 30; i++) write(`/d/e/f${i}`, '');
    files.dispose();
    for (let i = 0; i < 90; i++) names.find(`/d/e/f${i % 30}`);
    assert.equal(refs.size, 8);
    names.clear();
    assert.equal(refs.size, 0);
    for (let node = 2; node < 40; node++) assert.equal(fs.nlookup(node), 0, `node ${node}`);
  });
});

describe('an unlinked open file', () => {
  it('lives until libfuse removes its hidden name, and is listed in no directory', () => {
    files.mkdir('/d', 0o755);
    write('/d/f', 'text');
    const open = files.open('/d/f');
    files.rename('/d/f', `/d/${HIDDEN}`);
    assert.deepEqual(files.readdir('/d')[0].length, 2);
    assert.equal(read(open), 'text');
    files.getattr(`/d/${HIDDEN}`);
    files.chmod(`/d/${HIDDEN}`, 0o600);
    fails(EBUSY, () => files.rmdir('/d'));
    files.rename('/d', '/e');
    files.getattr(`/e/${HIDDEN}`);
    files.release(open);
    files.unlink(`/e/${HIDDEN}`);
    files.rmdir('/e');
    assert.equal(files.dispose(), 0);
  });

  it('is the only object that may have such a name', () => {
    write('/f', 'x');
    fails(EPERM, () => files.rename('/f', `/${HIDDEN}`));
    fails(EPERM, () => files.create(`/${HIDDEN}`, 0o644));
    fails(EPERM, () => files.mkdir(`/${HIDDEN}`, 0o644));
    assert.equal(cat('/f'), 'x');
  });
});

describe('with allow_other', () => {
  it('no file is created with a set-id bit', () => {
    const others = new PathFiles(fs, true);
    fails(EPERM, () => others.create('/f', 0o104755));
    fails(EPERM, () => others.mknod('/f', 0o102755, 0));
    others.mkdir('/d', 0o2755);
  });
});

describe('numbers', () => {
  it('of inodes are unique in 32 bits', () => {
    const ino = new Ino32();
    assert.equal(ino.map(7, 0), 7);
    const seen = new Set([ino.map(7, 1), ino.map(7, 2), ino.map(-1, 0), ino.map(7, 0)]);
    assert.equal(seen.size, 4);
    assert.equal(ino.map(7, 1), ino.map(7, 1));
    assert.equal(entryWords(ino.map(9, 0), 8)[0], 0o100000);
  });

  it('of blocks fit, in larger blocks', () => {
    const stat = new FsStat();
    Object.assign(stat, { blocks: 2 ** 34, bfree: 2 ** 33, frsize: 4096, ffree: 2 ** 40 });
    const words = statfsWords(stat);
    assert.equal(words[1]! * words[2]!, 2 ** 34 * 4096);
    assert.equal(words[1]! * words[3]!, 2 ** 33 * 4096);
    assert.equal(words[6], 2 ** 32 - 1);
  });

  it('of a utimens are read from its record, or not at all', () => {
    const record = Buffer.alloc(360);
    record.writeUInt32LE(12, 8);
    record.writeBigInt64LE(-5000n, 104);
    record.writeBigInt64LE(7000n, 112);
    const [low, high] = [record.readUInt32LE(104), record.readUInt32LE(108)];
    assert.deepEqual(timesOf(record, low, high), { atime: -5000, mtime: 7000 });
    assert.equal(timesOf(record, low + 1, high), null);
    record.writeUInt32LE(13, 8);
    assert.equal(timesOf(record, low, high), null);
    assert.equal(timesOf(Buffer.alloc(64), 0, 0), null);
  });
});
