/** erofs as a lower layer, which reports all its objects as immutable; and an overlay on it, which does the same. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { kernel, plyfs } from '../support/drivers.js';
import { must } from '../support/exec.js';
import { type ImageKind, makeImage } from '../support/image.js';
import { Scratch } from '../support/scratch.js';

const FILL = 'mkdir d d/sub; for f in f g d/f; do echo text >$f; done; ln -s f link; mkfifo fifo';

const CHANGE = `set -e
echo more >>f; chmod 600 d/f; mv link moved; rm fifo g; rmdir d/sub; mkdir new; touch d/new
cat f; ls -A . d; lsattr -d f d`;

const CHANGED = 'text\nmore\n.:\nd\nf\nmoved\nnew\n\nd:\nf\nnew\n';

/** The lower layer is the image itself, or a kernel overlay on it, as composefs makes them. */
for (const under of ['erofs', 'an overlay on erofs']) {
  describe(`a lower layer on ${under}`, () => {
    for (const driver of [kernel, plyfs]) {
      it(`can be changed by ${driver.name}`, async (t) => {
        const reason = await driver.unavailable();
        if (reason !== null) return t.skip(reason);
        const scratch = new Scratch();
        try {
          const source = scratch.directory('source');
          await must('sh', ['-ec', FILL], { cwd: source });
          const kind: ImageKind = {
            size: '0',
            mkfs: ['sh', '-c', `mkfs.erofs "$0" '${source}'`],
            options: 'ro',
          };
          const image = await makeImage(scratch, kind);
          if (typeof image === 'string') return t.skip(image);
          const between = scratch.directory('between');
          let lower = image.at;
          if (under !== 'erofs') {
            const empty = scratch.directory('empty');
            lower = between;
            await must('mount', ['-t', 'overlay', '-o', `lowerdir=${empty}:${image.at}`, 'none', between]);
          }
          try {
            const [upper, work] = ['upper', 'work'].map((name) => scratch.directory(name));
            const stack = { lower: [lower], upper: upper!, work: work! };
            const mounted = await driver.mount(stack, scratch.directory('merged'));
            try {
              const shown = await must('sh', ['-c', CHANGE], { cwd: mounted.path, onTimeout: mounted.abort });
              assert.equal(shown.slice(0, CHANGED.length), CHANGED);
              assert.doesNotMatch(shown, /^\S*[ia]\S* (f|d)$/m, 'the copies have no flags either');
            } finally {
              await mounted.unmount();
            }
          } finally {
            if (lower === between) await must('umount', ['-l', between]);
            await image.dispose();
          }
        } finally {
          scratch.dispose();
        }
      });
    }
  });
}
