/** What is said where fuse-native can't be loaded. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadFuse } from '../../src/fuse-native/load.js';

describe('loading fuse-native', () => {
  it('ends in one sentence where there is no libfuse, or no package', async () => {
    const said = await loadFuse(() => false);
    assert.equal(typeof said, 'string');
    assert.match(
      said as string,
      /^the transport fuse-native needs (the npm package fuse-native|libfuse\.so\.2)/,
    );
  });
});
