/** What is wrong in a workdir. */

import { decodeOrigin } from '../../overlay/origin.js';
import { removeTree } from '../../overlay/remove-tree.js';
import * as sys from '../../sys/index.js';
import { listSorted, openAgain, openSub } from '../tree.js';
import type { Findings } from './finding.js';

function namesIn(top: number, path: readonly string[]): sys.Dirent[] {
  let fd = openAgain(top, '.');
  try {
    for (const part of path) {
      const next = openSub(fd, part);
      if (next < 0) return [];
      sys.close(fd);
      fd = next;
    }
    return listSorted(fd, path.join('/'));
  } finally {
    sys.close(fd);
  }
}

/** Whether the bytes of an index entry's name are an origin. */
function isOriginName(name: string): boolean {
  return /^([0-9a-f]{2})+$/.test(name) && decodeOrigin(Buffer.from(name, 'hex')) !== null;
}

/** Checks `work` and `index` of the workdir. `forgetVolatile`: data that a volatile mount may have lost is accepted. */
export function checkWork(findings: Findings, forgetVolatile: boolean): void {
  const { top } = findings;
  const remove = (dirfd: number, name: string): number => removeTree(dirfd, name);
  for (const { name, type } of namesIn(top, ['work'])) {
    if (name === 'incompat') continue;
    // The whiteout that others are hard links of remains after a mount, and is removed by the next one.
    if (type === sys.DT_CHR && name.startsWith('#')) continue;
    findings.add({
      code: 'stale-work',
      path: `work/${name}`,
      problem: 'a mount that did not end well left this behind',
      repair: 'remove it',
      apply: remove,
    });
  }
  for (const { name } of namesIn(top, ['work', 'incompat'])) {
    findings.add({
      code: 'volatile',
      path: `work/incompat/${name}`,
      problem:
        name === 'volatile'
          ? 'this upper was mounted volatile: it may have lost data, and no mount accepts it'
          : 'the workdir was used with a feature that is unknown here',
      ...(forgetVolatile && name === 'volatile' ? { repair: 'remove the mark', apply: remove } : {}),
    });
  }
  for (const { name } of namesIn(top, ['index'])) {
    if (isOriginName(name) || name.startsWith('#')) continue;
    findings.add({
      code: 'bad-index',
      path: `index/${name}`,
      problem: 'this index entry is not named by an origin',
      repair: 'remove it',
      apply: remove,
    });
  }
}
