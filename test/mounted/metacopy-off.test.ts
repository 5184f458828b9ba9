/** Metacopies with `metacopy=off`: a file without data must not be read as holes. */
import assert from 'node:assert/strict';
import { mkdirSync, truncateSync, writeFileSync } from 'node:fs';
import { describe, it } from 'node:test';
import * as sys from '../../src/sys/index.js';
import { drivers } from '../support/drivers.js';
import { Fixture } from '../support/fixture.js';
import { makeImage } from '../support/image.js';
import { Scratch } from '../support/scratch.js';

function hollow(path: string): string[] {
  return [`put ${path} ""`, `truncate ${path} 6`, `setxattr ${path} trusted.overlay.metacopy ""`];
}

/** A layer on ext4 with a metacopy that has a block for its xattrs, as if it held its few bytes of data. */
function layerWithBlock(at: string): string {
  const file = `${at}/l/d/small`;
  mkdirSync(`${at}/l/d`, { recursive: true });
  writeFileSync(file, '');
  truncateSync(file, 6);
  const set = (path: string, name: string, value: string): void => {
    assert.equal(sys.setxattr(sys.AT_FDCWD, path, name, Buffer.from(value), value.length), 0, name);
  };
  set(file, 'user.a', 'a'.repeat(2000));
  set(file, 'trusted.overlay.metacopy', '');
  set(`${at}/l/d`, 'trusted.overlay.impure', 'y');
  return `${at}/l`;
}

for (const driver of drivers) {
  describe(`metacopy=off on ${driver.name}`, () => {
    it('refuses metacopies, on any layer, and nothing else', async (t) => {
      const reason = await driver.unavailable();
      if (reason !== null) return t.skip(reason);
      const scratch = new Scratch();
      const fixture = new Fixture(scratch, driver, {
        upper: [...hollow('covers'), ...hollow('alone'), ...hollow('d/covers'), 'put plain x'],
        lower: [
          ['put covers bottom', ...hollow('low'), 'put d/covers bottom'],
          ['put low bottom', 'put other x'],
        ],
      });
      try {
        await fixture.mount();
        const steps = {
          'stat covers': 'EPERM',
          'cat covers': 'EPERM',
          'add covers x': 'EPERM',
          'stat covers type': 'EPERM',
          'stat alone': 'EPERM',
          'stat d/covers': 'EPERM',
          'stat low': 'EPERM',
          'unlink low': 'EPERM',
          'cat plain': '"x"',
          'cat other': '"x"',
        };
        const reports = await fixture.steps(Object.keys(steps));
        assert.deepEqual(
          reports.map((report) => report.result),
          Object.values(steps),
        );
      } finally {
        await fixture.dispose();
        scratch.dispose();
      }
    });

    it('refuses one whose xattrs take as much space as its data would', async (t) => {
      const reason = await driver.unavailable();
      if (reason !== null) return t.skip(reason);
      const scratch = new Scratch();
      const image = await makeImage(scratch, { size: '64M', mkfs: ['mkfs.ext4', '-q', '-b', '4096'] });
      if (typeof image === 'string') {
        scratch.dispose();
        return t.skip(image);
      }
      const fixture = new Fixture(scratch, driver, {
        lower: [layerWithBlock(image.at), ['put d/small bottom']],
      });
      try {
        await fixture.mount();
        const reports = await fixture.steps(['cat d/small', 'add d/small x']);
        assert.deepEqual(
          reports.map((report) => report.result),
          ['EPERM', 'EPERM'],
        );
      } finally {
        await fixture.dispose();
        await image.dispose();
        scratch.dispose();
      }
    });
  });
}
