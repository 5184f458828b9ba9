import assert from 'node:assert/strict';
import { test } from 'node:test';
import { decodeOrigin, encodeOrigin } from '../../src/overlay/origin.js';

const bytes = (...parts: string[]): Buffer => Buffer.from(parts.join('').replaceAll(' ', ''), 'hex');

function set(blob: Buffer, at: number, value: number): Buffer {
  blob[at] = value;
  return blob;
}

/** Written by kernel overlayfs 6.18 for a file on an ext4 without uuid. */
const ext4 = bytes(
  '00', // version
  'fb', // magic
  '1d', // 29 bytes in all
  '00', // flags: little-endian, lower
  '01', // handle type FILEID_INO32_GEN
  '00000000000000000000000000000000', // uuid
  'c3409800 09f57b6d', // inode, generation
);

/** Written by kernel overlayfs 6.18 for a file on tmpfs. */
const tmpfs = bytes(
  '00', // version
  'fb', // magic
  '21', // 33 bytes in all
  '00', // flags
  '01', // handle type
  '4be5cf07974b4a56af0a6d26531eae6a', // uuid
  '3e581162 0f000000 00000000', // generation, inode
);

test('an ext4 origin decodes and encodes byte for byte', () => {
  const origin = decodeOrigin(ext4);
  assert.ok(origin);
  assert.equal(origin.handle.type, 1);
  assert.equal(origin.handle.bytes.toString('hex'), 'c340980009f57b6d');
  assert.ok(origin.uuid.equals(Buffer.alloc(16)));
  assert.equal(origin.isUpper, false);
  assert.deepEqual(encodeOrigin(null, origin.handle, false), ext4);
  assert.deepEqual(encodeOrigin(origin.uuid, origin.handle, false), ext4);
});

test('a tmpfs origin decodes and encodes byte for byte', () => {
  const origin = decodeOrigin(tmpfs);
  assert.ok(origin);
  assert.equal(origin.uuid.toString('hex'), '4be5cf07974b4a56af0a6d26531eae6a');
  assert.equal(origin.handle.bytes.length, 12);
  assert.deepEqual(encodeOrigin(origin.uuid, origin.handle, false), tmpfs);
});

test('flag 4 marks a handle of an upper object', () => {
  const origin = decodeOrigin(ext4)!;
  const upper = encodeOrigin(null, origin.handle, true);
  assert.equal(upper[3], 4);
  assert.equal(decodeOrigin(upper)!.isUpper, true);
});

test('a malformed origin is unknown, not an error', () => {
  const cases: Record<string, (b: Buffer) => Buffer> = {
    empty: () => Buffer.alloc(0),
    'one byte': (b) => b.subarray(0, 1),
    'truncated header': (b) => b.subarray(0, 20),
    'stated length beyond the end': (b) => b.subarray(0, 28),
    'stated length within the header': (b) => set(b, 2, 20),
    'later version': (b) => set(b, 0, 1),
    'wrong magic': (b) => set(b, 1, 0xfa),
    'unknown flag': (b) => set(b, 3, 8),
    'other byte order': (b) => set(b, 3, 1),
  };
  for (const [name, change] of Object.entries(cases)) {
    assert.equal(decodeOrigin(change(Buffer.from(ext4))), null, name);
  }
});

test('bytes after the stated length are ignored, an empty handle is read, any byte order is accepted when marked', () => {
  assert.equal(decodeOrigin(Buffer.concat([ext4, Buffer.from('x')]))!.handle.bytes.length, 8);
  const bare = Buffer.from(ext4.subarray(0, 21));
  bare[2] = 21;
  assert.equal(decodeOrigin(bare)!.handle.bytes.length, 0);
  const any = Buffer.from(ext4);
  any[3] = 3;
  assert.equal(decodeOrigin(any)!.handle.type, 1);
});

test('a handle that does not fit becomes "origin unknown"', () => {
  assert.equal(encodeOrigin(null, { type: 1, bytes: Buffer.alloc(240) }, false).length, 0);
  assert.equal(encodeOrigin(null, { type: 0xff, bytes: Buffer.alloc(8) }, false).length, 0);
});
