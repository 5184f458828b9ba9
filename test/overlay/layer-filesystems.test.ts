import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { OverlayOptions } from '../../src/overlay/config.js';
import { numberFilesystems, originFilesystems, xinoBits } from '../../src/overlay/layer-filesystems.js';
import { DEFAULTS } from '../../src/overlay/option-table.js';
import type { DirOption, Filesystem, SourceDir } from '../../src/overlay/source-dir.js';

let minors = 0;

function filesystem(uuid: string | null, handles: Filesystem['handles'] = 'ino32'): Filesystem {
  return {
    devMajor: 8,
    devMinor: minors++,
    uuid: uuid === null ? null : Buffer.from(uuid.repeat(16)),
    subvolume: false,
    handles,
  };
}

function on(fs: Filesystem, option: DirOption = 'lowerdir'): SourceDir {
  return { option, path: '/x', canonical: '/x', fs, inoLo: 1, inoHi: 0, mntId: 1 };
}

function okay(
  upper: Filesystem | null,
  lowers: SourceDir[],
  options: Partial<OverlayOptions> = {},
): boolean[] {
  const sources = { upper: upper && on(upper, 'upperdir'), work: null, lowers };
  const found = originFilesystems(sources, { ...DEFAULTS, ...options });
  return lowers.map((dir) => found.has(dir.fs));
}

const a = filesystem('a');
const again = filesystem('a');
const b = filesystem('b');
const none = filesystem(null);
const none2 = filesystem(null);
const mute = filesystem('m', 'none');

test('origins are looked up where a uuid belongs to a single filesystem', () => {
  assert.deepEqual(okay(b, [on(a), on(a), on(b)]), [true, true, true]);
  assert.deepEqual(okay(b, [on(a), on(again)]), [false, false]);
  assert.deepEqual(okay(a, [on(a), on(again)]), [true, false]);
  assert.deepEqual(okay(b, [on(mute)]), [false]);
  assert.deepEqual(okay(b, [on(a), on(again, 'datadir')]), [true, false]);
});

test('a filesystem without uuid is enough when lowers can not have changed, and when it is the upper’s', () => {
  assert.deepEqual(okay(none, [on(none)]), [true]);
  assert.deepEqual(okay(b, [on(none)]), [false]);
  assert.deepEqual(okay(b, [on(none)], { index: true }), [true]);
  assert.deepEqual(okay(b, [on(none), on(none2)], { index: true }), [false, false]);
});

test('subvolumes of one btrfs share a uuid', () => {
  const [one, two, three] = [1, 2, 3].map(() => ({ ...filesystem('s', 'other'), subvolume: true })) as [
    Filesystem,
    Filesystem,
    Filesystem,
  ];
  assert.deepEqual(okay(b, [on(one), on(two)]), [true, true]);
  assert.deepEqual(okay(one, [on(two), on(one), on(three)]), [true, true, true]);
});

test('filesystems are counted from 1 when there is no upper', () => {
  const lowers = [on(a), on(b), on(a)];
  const numbers = (upper: Filesystem | null): number[] => {
    const map = numberFilesystems({ upper: upper && on(upper, 'upperdir'), work: null, lowers });
    return lowers.map((dir) => map.get(dir.fs)!);
  };
  assert.deepEqual(numbers(null), [1, 2, 1]);
  assert.deepEqual(numbers(b), [1, 0, 1]);
});

test('xino bits', () => {
  const other = filesystem('o', 'other');
  const bits = (
    upper: Filesystem | null,
    lowers: SourceDir[],
    xino: OverlayOptions['xino'] = 'auto',
  ): number => xinoBits({ upper: upper && on(upper, 'upperdir'), work: null, lowers }, xino);
  assert.equal(bits(a, [on(a)]), 0);
  assert.equal(bits(null, [on(other)]), 0);
  assert.equal(bits(a, [on(b)]), 32);
  assert.equal(bits(a, [on(other)]), 2);
  assert.equal(bits(a, [on(other), on(b)]), 3);
  assert.equal(bits(null, [on(other), on(b)]), 3);
  assert.equal(bits(a, [on(other)], 'off'), -1);
  assert.equal(bits(a, [on(a), on(other, 'datadir')]), 0);
});
