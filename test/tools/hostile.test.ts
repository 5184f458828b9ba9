/** `plyfs import` of hostile archives: refused, or harmless; nothing outside is touched and nothing is left. */
import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { after, describe, it } from 'node:test';
import { setImmediate } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { pack } from 'tar-stream';
import { UserError } from '../../src/overlay/user-error.js';
import * as sys from '../../src/sys/index.js';
import { exportLayer } from '../../src/tools/oci/export.js';
import { type ImportResult, importLayers } from '../../src/tools/oci/import.js';
import { rawXattrs } from '../../src/tools/tree.js';
import { isRoot, Scratch } from '../support/scratch.js';

interface Entry {
  readonly name: string;
  readonly type?: string;
  readonly linkname?: string;
  readonly data?: string;
  readonly pax?: Record<string, string>;
  readonly mode?: number;
  readonly devmajor?: number;
  readonly devminor?: number;
}

async function tarOf(entries: readonly Entry[]): Promise<Buffer> {
  const stream = pack();
  for (const { data, ...header } of entries) {
    const whole = { mtime: new Date(0), ...header };
    if (data === undefined) stream.entry(whole as never);
    else stream.entry(whole as never, data);
  }
  stream.finalize();
  const chunks: Buffer[] = [];
  for await (const chunk of stream) chunks.push(chunk as Buffer);
  return Buffer.concat(chunks);
}

describe('plyfs import of hostile archives', { skip: isRoot ? false : 'makes device nodes as root' }, () => {
  const scratch = new Scratch();
  after(() => scratch.dispose());
  let count = 0;

  /** A place with something outside to harm: `out`, with a file in it. */
  function place(): { home: string; out: string } {
    const home = scratch.directory(`home${count++}`);
    const out = `${home}/out`;
    mkdirSync(out);
    writeFileSync(`${out}/file`, 'mine');
    return { home, out };
  }

  async function importing(tar: Buffer, home: string, extra: object = {}): Promise<ImportResult> {
    const source = `${home}/a.tar`;
    writeFileSync(source, tar);
    return await importLayers({ source, directory: `${home}/layer`, ...extra });
  }

  const REFUSED: Readonly<Record<string, readonly Entry[]>> = {
    'a name with ..': [{ name: '../out/evil', data: 'x' }],
    'a name with .. inside': [{ name: 'a/../../out/evil', data: 'x' }],
    'a pax name with ..': [{ name: 'a', data: 'x', pax: { path: '../out/evil' } }],
    'a path through a symlink to outside': [
      { name: 'l', type: 'symlink', linkname: '../out' },
      { name: 'l/evil', data: 'x' },
    ],
    'a path through an absolute symlink': [
      { name: 'l', type: 'symlink', linkname: '/' },
      { name: 'l/tmp/plyfs-evil', data: 'x' },
    ],
    'a path through a symlink to itself': [
      { name: 'd', type: 'symlink', linkname: '.' },
      { name: 'd/d/d/x', data: 'x' },
    ],
    'a whiteout behind a symlink': [
      { name: 'l', type: 'symlink', linkname: '../out' },
      { name: 'l/.wh.file', data: '' },
    ],
    'a hard link to outside': [{ name: 'h', type: 'link', linkname: '../out/file' }],
    'a hard link to an absolute path': [{ name: 'h', type: 'link', linkname: '/etc/passwd' }],
    'a hard link through a symlink': [
      { name: 'l', type: 'symlink', linkname: '../out' },
      { name: 'h', type: 'link', linkname: 'l/file' },
    ],
    'a path through a file': [
      { name: 'f', data: 'x' },
      { name: 'f/x', data: 'x' },
    ],
    'a whiteout of nothing': [{ name: 'd/.wh.', data: '' }],
    'a whiteout of the directory itself': [{ name: 'd/.wh..', data: '' }],
    'a whiteout of the parent': [{ name: 'd/.wh...', data: '' }],
    'an impossible owner': [{ name: 'f', data: 'x', pax: { uid: '4294967295' } }],
    'a false sparse map': [
      { name: 'f', data: 'x', pax: { 'GNU.sparse.size': '1', 'GNU.sparse.map': '9007199254740000,5' } },
    ],
    'a sparse file with more data than its map': [
      { name: 'f', data: 'xxxx', pax: { 'GNU.sparse.size': '10', 'GNU.sparse.map': '0,2' } },
    ],
    'a name that is too long': [{ name: 'f', data: 'x', pax: { path: 'x'.repeat(300) } }],
  };

  for (const [name, entries] of Object.entries(REFUSED)) {
    it(`refuses ${name}`, async () => {
      const { home, out } = place();
      await assert.rejects(importing(await tarOf(entries), home), UserError);
      assert.deepEqual(readdirSync(home).sort(), ['a.tar', 'out']);
      assert.deepEqual(readdirSync(out), ['file']);
      assert.equal(statSync(`${out}/file`).nlink, 1);
    });
  }

  /** A tar with one object whose header has `bytes` at offset `at`. */
  async function patched(entry: Entry, at: number, bytes: string): Promise<Buffer> {
    const tar = await tarOf([entry]);
    tar.write(bytes, at, 'latin1');
    tar.fill(' ', 148, 156);
    const sum = tar.subarray(0, 512).reduce((total, byte) => total + byte, 0);
    tar.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    return tar;
  }

  it('refuses malformed numbers, rather than waiting for so many bytes', async () => {
    const file = { name: 'f', data: 'x' };
    const device = { name: 'd', type: 'character-device', devmajor: 1, devminor: 3 };
    const cases: [Entry, number, string, RegExp][] = [
      [file, 124, '\xbf0000000000', /a size is no number/],
      [file, 124, `\xff${'\xff'.repeat(10)}\xf0`, /a size is no number/],
      [file, 124, 'nonsense', /a size is no number/],
      [file, 136, '\x80\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff', /a time is no number/],
      [file, 136, 'nonsense', /a time is no number/],
      [file, 108, '\xbf000000', /an owner is no number/],
      [device, 329, '\xbf000000', /has no number of a device/],
      [device, 329, 'nonsens\0', /has no number of a device/],
    ];
    for (const [entry, at, bytes, message] of cases) {
      for (const isLayer of [true, false]) {
        const { home } = place();
        const tar = await patched(entry, at, bytes);
        const name = `${at} ${JSON.stringify(bytes)}`;
        await assert.rejects(
          importing(tar, home, { isLayer, devices: true }),
          { name: 'UserError', message },
          name,
        );
        assert.deepEqual(readdirSync(home).sort(), ['a.tar', 'out'], name);
      }
    }
  });

  it('refuses broken archives, and bombs', async () => {
    const good = await tarOf([{ name: 'f', data: 'x'.repeat(5000) }]);
    const bomb = gzipSync(await tarOf([{ name: 'zeros', data: '\0'.repeat(1 << 22) }]));
    const many = await tarOf(Array.from({ length: 101 }, (_, i) => ({ name: `f${i}`, data: '' })));
    const cases: [Buffer, object, RegExp][] = [
      [good.subarray(0, 3000), {}, /broken/],
      [gzipSync(good).subarray(0, 40), {}, /broken/],
      [Buffer.from('this is no tar at all'.repeat(50)), {}, /broken/],
      [Buffer.from('\xfd7zXZ\0 and so on', 'latin1'), {}, /xz is not supported/],
      [bomb, { maxBytes: 1 << 20 }, /unpacks to more than 1048576 bytes/],
      [many, { maxEntries: 100 }, /more than 100 entries/],
      [good, { digest: `sha256:${'0'.repeat(64)}` }, /its digest is/],
      [good, { diffId: `sha256:${'0'.repeat(64)}` }, /its diffID is/],
    ];
    for (const [tar, extra, message] of cases) {
      const { home } = place();
      await assert.rejects(importing(tar, home, extra), { name: 'UserError', message });
      assert.deepEqual(readdirSync(home).sort(), ['a.tar', 'out']);
    }
  });

  it('makes absolute names, symlinks that are replaced, and devices harmless', async () => {
    const { home, out } = place();
    const tar = await tarOf([
      { name: '/abs/f', data: 'x' },
      { name: 'l', type: 'symlink', linkname: '../out/file' },
      { name: 'l', data: 'theirs' },
      { name: 'd', type: 'directory', mode: 0o777 },
      { name: 'd', type: 'symlink', linkname: '../out' },
      { name: 'wh', type: 'character-device', devmajor: 0, devminor: 0 },
      { name: 'mem', type: 'character-device', devmajor: 1, devminor: 1 },
    ]);
    const before = statSync(out);
    const { layers } = await importing(tar, home);
    assert.deepEqual(readdirSync(`${home}/layer`).sort(), ['abs', 'd', 'l']);
    assert.equal(readFileSync(`${out}/file`, 'utf8'), 'mine');
    assert.equal(readFileSync(`${home}/layer/l`, 'utf8'), 'theirs');
    assert.deepEqual(layers[0]!.warnings, [
      '1 character devices 0:0, which would be whiteouts, were left out',
      '1 device nodes were left out',
    ]);
    assert.deepEqual([statSync(out).mtimeMs, statSync(out).mode], [before.mtimeMs, before.mode]);
  });

  it('keeps marks of the overlay in an archive from taking effect', async () => {
    const { home } = place();
    const marks = {
      'SCHILY.xattr.trusted.overlay.redirect': '/etc',
      'SCHILY.xattr.trusted.overlay.opaque': 'y',
    };
    await importing(await tarOf([{ name: 'd', type: 'directory', pax: marks }]), home);
    const fd = sys.openat(sys.AT_FDCWD, `${home}/layer`, sys.O_PATH | sys.O_DIRECTORY);
    const names = [...rawXattrs(fd, 'd').keys()];
    sys.close(fd);
    assert.deepEqual(names, ['trusted.overlay.overlay.opaque', 'trusted.overlay.overlay.redirect']);
  });

  it('reads whiteouts in any order: a name that reappears is replaced, a directory opaque', async () => {
    const { home } = place();
    await importing(
      await tarOf([
        { name: '.wh.d', data: '' },
        { name: 'd/in', data: 'x' },
        { name: 'e/in', data: 'x' },
        { name: '.wh.e', data: '' },
        { name: '.wh.f', data: '' },
        { name: 'f', data: 'x' },
        { name: '.wh.g', data: '' },
        { name: '.wh..wh.plnk', type: 'directory' },
      ]),
      home,
    );
    const fd = sys.openat(sys.AT_FDCWD, `${home}/layer`, sys.O_PATH | sys.O_DIRECTORY);
    const opaque = ['d', 'e'].map((name) => rawXattrs(fd, name).get('trusted.overlay.opaque')?.toString());
    sys.close(fd);
    assert.deepEqual(opaque, ['y', 'y']);
    assert.deepEqual(readdirSync(`${home}/layer`).sort(), ['d', 'e', 'f', 'g']);
    assert.ok(statSync(`${home}/layer/g`).isCharacterDevice() && statSync(`${home}/layer/f`).isFile());
  });

  it('refuses false documents of an image, and links out of an OCI layout', async () => {
    const { home, out } = place();
    const layout = `${home}/oci`;
    mkdirSync(`${layout}/blobs/sha256`, { recursive: true });
    writeFileSync(`${layout}/oci-layout`, '{"imageLayoutVersion":"1.0.0"}');
    const tries: [unknown, RegExp][] = [
      [{ manifests: [{ digest: 'sha256:../../../out/file' }] }, /no sha256 digest/],
      [{ manifests: [{ digest: `sha256:${'a'.repeat(64)}` }] }, /incomplete/],
      [{ manifests: [] }, /0 images/],
      [[], /no object/],
      [null, /no object/],
    ];
    symlinkSync(`${out}/file`, `${layout}/blobs/sha256/${'a'.repeat(64)}`);
    for (const [index, message] of tries) {
      writeFileSync(`${layout}/index.json`, JSON.stringify(index));
      await assert.rejects(importLayers({ source: layout, directory: `${home}/store` }), {
        name: 'UserError',
        message,
      });
    }
    const archive = await tarOf([
      { name: 'manifest.json', data: JSON.stringify([{ Config: '../../out/file', Layers: [] }]) },
    ]);
    await assert.rejects(importing(archive, home), { name: 'UserError', message: /incomplete/ });
  });

  it('reads an image archive that is compressed, with an empty blob, and leaves no descriptor', async () => {
    const { home } = place();
    const empty = createHash('sha256').digest('hex');
    const config = JSON.stringify({ rootfs: { diff_ids: [`sha256:${empty}`] } });
    const archive = gzipSync(
      await tarOf([
        { name: 'manifest.json', data: JSON.stringify([{ Config: 'c', Layers: ['l'] }]) },
        { name: 'l', data: '' },
        { name: 'c', data: config },
      ]),
    );
    const open = (): number => readdirSync('/proc/self/fd').length;
    const before = open();
    const { layers } = await importing(archive, home, { directory: `${home}/new/store` });
    assert.deepEqual([layers.length, layers[0]!.entries], [1, 0]);
    assert.deepEqual(readdirSync(`${home}/new`), ['store']);
    await assert.rejects(importing(archive.subarray(0, 60), home), /broken/);
    // Streams are closed asynchronously, but soon.
    for (let turn = 0; turn < 1000 && open() > before; turn++) await setImmediate();
    assert.equal(open(), before);
  });

  it('does not follow links out of a layer while exporting it', async () => {
    const { home, out } = place();
    const layer = `${home}/layer`;
    mkdirSync(layer);
    symlinkSync(out, `${layer}/l`);
    const { entries } = await exportLayer({ layer, output: `${home}/l.tar`, compression: 'none' });
    assert.equal(entries, 2);
    assert.equal(readFileSync(`${home}/l.tar`, 'latin1').includes('mine'), false);
    assert.ok(existsSync(`${out}/file`));
  });
});
