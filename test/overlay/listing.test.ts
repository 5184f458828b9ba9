import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { Layer } from '../../src/overlay/config.js';
import { DirState, Inode, RealDir } from '../../src/overlay/inode.js';
import { Listing } from '../../src/overlay/listing.js';
import { Listings } from '../../src/overlay/listings.js';
import { cookieOf, offsetOf, readerOf } from '../../src/overlay/readers.js';
import * as sys from '../../src/sys/index.js';

const upper = new RealDir({ kind: 'upper' } as Layer, null, '');

function listingOf(count: number): Listing {
  const listing = new Listing([upper]);
  for (let i = 0; i < count; i++)
    listing.appendOnly({ name: `f${i}`, type: sys.DT_REG, inoLo: i + 1, inoHi: 0 }, 0);
  return listing;
}

/** Names from a cookie on, as a reader (a new one if necessary) gets them. */
function namesFrom(listing: Listing, cookie: number, reader = listing.beginReading()): string[] {
  const names: string[] = [];
  const end = listing.endFor(reader);
  for (let at = listing.positionOf(cookie); at < end; at++) {
    const name = listing.names[at];
    if (typeof name === 'string' && listing.isVisibleAt(at)) names.push(name);
  }
  return names;
}

/** The cookie that follows a name. */
const after = (listing: Listing, name: string): number => listing.cookieAt(listing.names.indexOf(name)) + 1;

test('names that come and go leave nothing behind', () => {
  const listing = listingOf(10);
  for (let i = 0; i < 100_000; i++) {
    listing.setUpper(`temporary${i}`, sys.DT_REG);
    listing.remove(`temporary${i}`, false);
  }
  assert.ok(listing.names.length < 200, `${listing.names.length} positions`);
  assert.equal(listing.count, 10);
  assert.equal(namesFrom(listing, 0).length, 10);
});

test('a reader misses nothing and sees nothing twice when gaps are closed meanwhile', () => {
  const listing = listingOf(1000);
  const reader = listing.beginReading();
  assert.equal(namesFrom(listing, 0, reader).length, 1000);
  const cookie = after(listing, 'f499');
  for (let i = 0; i < 1000; i++) if (i % 10 !== 0) listing.remove(`f${i}`, false);
  assert.ok(listing.names.length < 300);
  const left = Array.from({ length: 50 }, (_, i) => `f${500 + i * 10}`);
  assert.deepEqual(namesFrom(listing, cookie, reader), left);
  listing.setUpper('new', sys.DT_REG);
  assert.deepEqual(namesFrom(listing, cookie, reader), left, 'what comes later is for later readers');
  assert.deepEqual(namesFrom(listing, 0).slice(-2), ['f990', 'new']);
  assert.deepEqual(
    namesFrom(listing, cookie, reader),
    left,
    'who begins later changes nothing for those under way',
  );
  assert.equal(listing.info('f990') !== 0 && listing.info('new') !== 0 && listing.info('f991') === 0, true);
});

test('each reader has its own end, but readers share a number while nothing is added', () => {
  const listing = listingOf(3);
  const readers = Array.from({ length: 100 }, (_, i) => {
    listing.setUpper(`new${i}`, sys.DT_REG);
    const reader = listing.beginReading();
    assert.equal(listing.beginReading(), reader);
    return reader;
  });
  assert.deepEqual(
    readers.map((reader) => listing.endFor(reader)),
    readers.map((_, i) => 4 + i),
  );
});

test('an offset contains its reader and the cookie, and has 31 bits as long as they suffice', () => {
  for (const cookie of [1, 1000, 2 ** 24 - 1, 2 ** 24, 2 ** 31]) {
    for (const reader of [1, 127]) {
      const offset = offsetOf(reader, cookie);
      assert.deepEqual([readerOf(offset), cookieOf(offset)], [reader, cookie]);
      assert.ok(offset > 2 && (cookie >= 2 ** 24 || offset < 2 ** 31));
    }
  }
});

test('a growing listing is counted as it grows, and others make room for it', () => {
  const listings = new Listings(1000);
  const inodes = ['grows', 'other', 'third'].map((name) => {
    const inode = new Inode(sys.S_IFDIR, null, name, new DirState([upper]));
    listings.set(inode, listingOf(300));
    return inode;
  });
  const [grows, other, third] = inodes.map((inode) => inode.dir!) as [DirState, DirState, DirState];
  assert.equal(grows.listing !== null && other.listing !== null && third.listing !== null, true);
  for (let i = 0; i < 300; i++) {
    grows.listing?.setUpper(`new${i}`, sys.DT_REG);
    listings.touch(inodes[0]!, grows.listing!);
  }
  assert.equal(other.listing, null, 'the one used longest ago');
  assert.equal(grows.listing !== null && third.listing !== null, true);
  for (let i = 0; i < 300; i++) grows.listing?.remove(`new${i}`, false);
  for (let i = 0; i < 200; i++) grows.listing?.remove(`f${i}`, false);
  listings.touch(inodes[0]!, grows.listing!);
  listings.set(inodes[1]!, listingOf(300));
  assert.equal(grows.listing !== null && third.listing !== null, true, 'what shrinks is counted, too');
});
