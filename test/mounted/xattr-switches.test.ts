/** `noacl` and `noxattrs`: what callers can no longer use, and what is kept nevertheless. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { plyfs } from '../support/drivers.js';
import { Fixture } from '../support/fixture.js';
import { Scratch } from '../support/scratch.js';

/** A lower file with an attribute and an ACL by which uid 1234 may read it: version 2, then tag, permissions, id. */
const ACL =
  '%02%00%00%00%01%00%06%00%ff%ff%ff%ff%02%00%04%00%d2%04%00%00%04%00%00%00%ff%ff%ff%ff%10%00%04%00%ff%ff%ff%ff%20%00%00%00%ff%ff%ff%ff';
const LOWER = ['put f text', 'setxattr f user.a b', `setxattr f system.posix_acl_access ${ACL}`];

/** As `step => result`. */
const cases: Readonly<Record<string, readonly string[]>> = {
  '': ['listxattr f => system.posix_acl_access user.a', 'user 1234:1234 => ok', 'cat f => "text"'],
  noacl: [
    'listxattr f => user.a',
    'getxattr f system.posix_acl_access => EOPNOTSUPP',
    `setxattr f system.posix_acl_access ${ACL} => EOPNOTSUPP`,
    'setxattr f user.c d => ok',
    'user 1234:1234 => ok',
    'cat f => EACCES',
    'user 0:0 => ok',
    'chmod f 640 => ok',
    'stat f mode => mode=640',
  ],
  noxattrs: [
    'listxattr f => EOPNOTSUPP',
    'getxattr f user.a => EOPNOTSUPP',
    'setxattr f user.c d => EOPNOTSUPP',
    'removexattr f user.a => EOPNOTSUPP',
    'setxattr f trusted.c d => EOPNOTSUPP',
    'add f x => 1',
  ],
};

describe('switches of xattrs', () => {
  for (const [option, steps] of Object.entries(cases)) {
    it(option || 'neither', async (t) => {
      const reason = await plyfs.unavailable();
      if (reason !== null) return t.skip(reason);
      const scratch = new Scratch();
      const fixture = new Fixture(scratch, plyfs, { lower: [LOWER], options: option === '' ? [] : [option] });
      try {
        await fixture.mount();
        const parts = steps.map((line) => line.split(' => '));
        const reports = await fixture.steps(parts.map(([step = '']) => step));
        assert.deepEqual(
          reports.map((report, i) => `${parts[i]![0]} => ${report.result}`),
          steps,
        );
      } finally {
        await fixture.dispose();
        scratch.dispose();
      }
    });
  }
});
