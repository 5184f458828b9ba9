/** The filesystems that are trusted to make changes durable in order. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { commitsInOrder } from '../../src/overlay/commit-order.js';
import * as sys from '../../src/sys/index.js';
import { type ImageKind, makeImage } from '../support/image.js';
import { mayMount, Scratch } from '../support/scratch.js';

function ask(directory: string): boolean {
  const fd = sys.openat(sys.AT_FDCWD, directory, sys.O_PATH | sys.O_DIRECTORY);
  try {
    return commitsInOrder(fd);
  } finally {
    sys.close(fd);
  }
}

const kinds: Record<string, ImageKind & { inOrder: boolean }> = {
  'ext4 with its journal': { size: '64M', mkfs: ['mkfs.ext4', '-q', '-F'], inOrder: true },
  'ext4 without a journal': {
    size: '64M',
    mkfs: ['mkfs.ext4', '-q', '-F', '-O', '^has_journal'],
    inOrder: false,
  },
  'ext4 that commits asynchronously': {
    size: '64M',
    mkfs: ['mkfs.ext4', '-q', '-F'],
    options: 'journal_async_commit,data=writeback',
    inOrder: false,
  },
  ext2: { size: '64M', mkfs: ['mkfs.ext2', '-q', '-F'], inOrder: false },
  xfs: { size: '512M', mkfs: ['mkfs.xfs', '-q', '-f'], inOrder: true },
  btrfs: { size: '256M', mkfs: ['mkfs.btrfs', '-q', '-f'], inOrder: false },
};

describe('filesystems that commit in order', () => {
  for (const [name, kind] of Object.entries(kinds)) {
    it(`${name}: ${kind.inOrder ? 'yes' : 'no'}`, async (t) => {
      if (!mayMount) return t.skip('images are mounted by root only');
      const scratch = new Scratch();
      try {
        const image = await makeImage(scratch, kind);
        if (typeof image === 'string') return t.skip(image);
        try {
          assert.equal(ask(image.at), kind.inOrder);
        } finally {
          await image.dispose();
        }
      } finally {
        scratch.dispose();
      }
    });
  }

  it('tmpfs: yes', (t) => {
    if (!mayMount) return t.skip('a tmpfs is mounted by root only');
    const scratch = new Scratch();
    try {
      assert.equal(ask(scratch.path), true);
    } finally {
      scratch.dispose();
    }
  });

  it('proc: no', () => assert.equal(ask('/proc'), false));
});
