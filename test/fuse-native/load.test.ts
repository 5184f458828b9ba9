/** The message where fuse-native can't be loaded. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { loadFuse } from '../../src/fuse-native/load.js';

describe('loading fuse-native', () => {
  it('fails with one sentence where libfuse or the package is missing', async () => {
    const said = await loadFuse(() => false);
    assert.equal(typeof said, 'string');
    assert.match(
      said as string,
      /^the transport fuse-native needs (the npm package fuse-native|libfuse\.so\.2)/,
    );
  });
});
