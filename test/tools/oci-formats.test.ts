/** Formats of archives: every form that GNU tar has for sparse files, and any kind of zstd. */
import assert from 'node:assert/strict';
import { chmodSync, readFileSync, writeFileSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import { UserError } from '../../src/overlay/user-error.js';
import { importLayers } from '../../src/tools/oci/import.js';
import { latin1Extract } from '../../src/tools/oci/tar-reader.js';
import { Scratch } from '../support/scratch.js';
import { missingTools } from '../support/table.js';
import { shell, tool } from './support.js';

const SPARSE: Readonly<Record<string, string>> = {
  'old GNU': '--format=gnu',
  'pax 0.0': '--format=posix --sparse-version=0.0',
  'pax 0.1': '--format=posix --sparse-version=0.1',
  'pax 1.0': '--format=posix --sparse-version=1.0',
};

describe('sparse files in archives', () => {
  const scratch = new Scratch();
  let missing: string[] = [];
  const source = scratch.directory('source');
  before(async () => {
    missing = await missingTools(['tar']);
    // One run, none, a few, and more than fit into a header and an extension block; a long name, and files in between.
    await shell(`cd ${source}; echo before > a; truncate -s 1M empty; truncate -s 1M one; printf end >> one
      for i in $(seq 3); do printf "few$i" | dd of=few bs=1 seek=$((i * 65536)) conv=notrunc status=none; done
      for i in $(seq 60); do printf "run$i" | dd of=many bs=1 seek=$((i * 65536)) conv=notrunc status=none; done
      truncate -s 8M many; cp --sparse=always many ${'l'.repeat(120)}; echo after > z`);
  });
  after(() => scratch.dispose());

  for (const [name, flags] of Object.entries(SPARSE)) {
    it(`reads ${name}`, async (t) => {
      if (missing.length > 0) return t.skip('no tar');
      const [tar, back] = [`${scratch.path}/${name}.tar`, `${scratch.path}/${name}`];
      await shell(`cd ${source}; tar ${flags} --sparse -cf '${tar}' *`);
      // Smaller than its contents: it really is sparse.
      assert.ok(readFileSync(tar).length < 2 << 20);
      await importLayers({ source: tar, directory: back });
      await shell(`diff -r ${source} '${back}'`);
      assert.ok(Number(await shell(`du -k '${back}/many' | cut -f1`)) < 1024, 'holes come back');
    });
  }

  it('reads the old form in pieces of any size', async (t) => {
    if (missing.length > 0) return t.skip('no tar');
    const tar = `${scratch.path}/pieces.tar`;
    await shell(`cd ${source}; tar --format=gnu --sparse -cf ${tar} *`);
    const whole = readFileSync(tar);
    const read = async (piece: number): Promise<string[]> => {
      const stream = latin1Extract();
      for (let at = 0; at < whole.length; at += piece) stream.write(whole.subarray(at, at + piece));
      stream.end();
      const found: string[] = [];
      for await (const entry of stream) {
        let size = 0;
        for await (const chunk of entry) size += (chunk as Buffer).length;
        const { name, type, pax } = entry.header;
        found.push(`${name} ${type} ${size} ${JSON.stringify(pax)}`);
      }
      return found;
    };
    const expected = await read(whole.length);
    assert.equal(expected.length, 7);
    for (const piece of [100, 511, 513, 10_007]) assert.deepEqual(await read(piece), expected, `${piece}`);
  });

  it('refuses a false map', async (t) => {
    if (missing.length > 0) return t.skip('no tar');
    const tar = `${scratch.path}/lies.tar`;
    await shell(`cd ${source}; tar --format=gnu --sparse -cf ${tar} many`);
    const broken = (edit: (tar: Buffer) => void): Promise<unknown> => {
      const bytes = readFileSync(tar);
      edit(bytes);
      writeFileSync(`${tar}.edited`, bytes);
      return importLayers({ source: `${tar}.edited`, directory: `${scratch.path}/lies` });
    };
    const header = (edit: (block: Buffer) => void) => (bytes: Buffer) => {
      edit(bytes);
      let sum = 8 * 0x20;
      for (const [i, byte] of bytes.subarray(0, 512).entries()) if (i < 148 || i >= 156) sum += byte;
      bytes.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
    };
    const cases: [string, (bytes: Buffer) => void, RegExp][] = [
      ['checksum', (bytes) => void bytes.write('?', 0), /broken/],
      ['number', header((block) => void block.write('not a number', 386)), /malformed map/],
      ['past the end', header((block) => void block.write('00000000001\0', 483)), /malformed map/],
      ['beyond 2^53', header((block) => void block.fill(0xff, 483, 495)), /malformed map/],
      ['less data', header((block) => void block.write('00000001000\0', 124)), /less data|broken/],
    ];
    for (const [name, edit, said] of cases) {
      await assert.rejects(broken(edit), (error) => {
        assert.ok(error instanceof UserError, `${name}: ${String(error)}`);
        assert.match(error.message, said, name);
        return true;
      });
    }
  });
});

describe('zstd', () => {
  const scratch = new Scratch();
  let missing: string[] = [];
  const source = scratch.directory('source');
  before(async () => {
    missing = await missingTools(['zstd', 'tar']);
    await shell(`cd ${source}; seq 400000 > numbers; head -c 3000000 /dev/urandom > noise; echo s > small`);
  });
  after(() => scratch.dispose());

  it('is written, by the program zstd where Node.js has none, and read back', async (t) => {
    if (missing.length > 0) return t.skip('no zstd');
    const out = `${scratch.path}/l.tar.zst`;
    const made = await tool(['export', source, '-o', out, '--compression', 'zstd', '--json']);
    assert.equal(made.code, 0, made.stderr);
    const { diffId, mediaType } = JSON.parse(made.stdout) as { diffId: string; mediaType: string };
    assert.match(mediaType, /zstd$/);
    assert.equal(`sha256:${(await shell(`zstd -dc ${out} | sha256sum`)).slice(0, 64)}`, diffId);
    await importLayers({ source: out, directory: `${scratch.path}/back`, diffId });
    await shell(`diff -r ${source} ${scratch.path}/back`);
  });

  it('is read in any form: several frames, skipped frames, a long window', async (t) => {
    if (missing.length > 0) return t.skip('no zstd');
    const tar = `${scratch.path}/n.tar`;
    await shell(`cd ${source}; tar -cf ${tar} .; cd ${scratch.path}
      zstd -q -19 --long=27 ${tar} -o long.zst; zstd -q -1 -T2 --check ${tar} -o threads.zst
      head -c 1000000 ${tar} | zstd -q > frames.zst; printf 'P*M\\030\\004\\0\\0\\0skip' >> frames.zst
      tail -c +1000001 ${tar} | zstd -q >> frames.zst; printf 'P*M\\030\\004\\0\\0\\0skip' >> frames.zst`);
    for (const name of ['long', 'threads', 'frames']) {
      await importLayers({ source: `${scratch.path}/${name}.zst`, directory: `${scratch.path}/${name}` });
      await shell(`diff -r ${source} ${scratch.path}/${name}`);
    }
  });

  it('that can not be written causes one sentence, and no file is left', async (t) => {
    const [major, minor] = process.versions.node.split('.').map(Number) as [number, number];
    if (major > 22 || (major === 22 && minor >= 15)) return t.skip('this Node.js has zstd');
    const out = `${scratch.path}/none.tar.zst`;
    const failing = scratch.directory('bin');
    for (const [script, said] of [
      [null, /^plyfs: zstd needs Node\.js 22\.15 or newer \(this is v[\d.]+\) or the program zstd; .*\.\n$/],
      ['#!/bin/sh\nhead -c 100000; exit 3\n', /^plyfs: the program zstd failed \(3\)\.\n$/],
    ] as const) {
      if (script !== null) {
        writeFileSync(`${failing}/zstd`, script);
        chmodSync(`${failing}/zstd`, 0o755);
      }
      const path = script === null ? failing : `${failing}:${process.env['PATH']}`;
      const made = await tool(['export', source, '-o', out, '--compression', 'zstd'], {
        env: { ...process.env, PATH: path },
      });
      assert.equal(made.code, 1);
      assert.match(made.stderr, said);
      assert.equal(await shell(`ls ${scratch.path} | grep -c none || true`), '0\n');
    }
  });
});
