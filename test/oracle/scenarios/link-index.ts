/**

 * `index=on`: lower hard links survive copy-up.
 */
import type { Scenario, Scenarios } from '../scenario.js';

const options = ['index=on'];
/** One file with three names, in two directories. */
const lower = [['put a text', 'link a b', 'dir d', 'link a d/c', 'put single x']];

function indexed(steps: readonly string[], more: Partial<Scenario> = {}): Scenario {
  return { options, lower, look: 'last', steps, ...more };
}

export const linkIndex: Scenarios = {
  'index-write-shows-everywhere': indexed([
    'add a 1',
    'cat b',
    'cat d/c',
    'stat a nlink',
    'stat b nlink',
    'mark i a',
    'same i b',
    'same i d/c',
    'add single y',
  ]),
  'index-identity-survives-copy-up': indexed([
    'mark i a',
    'same i d/c',
    'chmod a 600',
    'same i b',
    'same i a',
  ]),
  'index-unlink-untouched': indexed([
    'unlink a',
    'stat a',
    'stat b nlink',
    'cat b',
    'unlink b',
    'stat d/c nlink',
    'cat d/c',
    'unlink d/c',
    'list .',
    'list d',
  ]),
  'index-unlink-last': indexed([
    'add a 1',
    'unlink a',
    'unlink b',
    'cat d/c',
    'unlink d/c',
    'put a new',
    'stat a',
  ]),
  'index-open-survives-last-unlink': indexed([
    'open f a RDONLY',
    'add a 1',
    'unlink a',
    'unlink b',
    'fstat f nlink',
    'unlink d/c',
    'read f 0',
    'fstat f nlink,size',
    'fchmod f 600',
    'fstat f mode',
  ]),
  'index-link': indexed([
    'link a e',
    'stat a nlink',
    'stat e nlink',
    'add e 1',
    'cat b',
    'link a d/f',
    'stat d/c nlink',
    'unlink e',
    'stat b nlink',
    'unlink a',
    'cat d/f',
  ]),
  'index-link-over-whiteout': indexed([
    'unlink single',
    'link a single',
    'cat single',
    'stat single nlink',
    'list .',
  ]),
  'index-rename': indexed([
    'rename a e',
    'stat a',
    'stat e nlink',
    'cat e',
    'rename b d/b',
    'stat d/b nlink',
    'add e 1',
    'cat d/b',
    'cat d/c',
  ]),
  'index-rename-over-alias': indexed(['rename a b', 'list .', 'stat a nlink', 'stat b nlink']),
  'index-rename-over': indexed([
    'rename single a',
    'cat a',
    'stat b nlink',
    'add b 1',
    'put n new',
    'rename n b',
    'stat d/c nlink',
    'cat d/c',
    'rename a d/c',
    'list .',
    'list d',
  ]),
  'index-exchange': indexed([
    'rename a single EXCHANGE',
    'cat a',
    'cat single',
    'stat single nlink',
    'stat b nlink',
    'rename b d/c EXCHANGE',
    'stat b nlink',
  ]),
  'index-specials': indexed(
    [
      'chmod p 600',
      'stat q mode,nlink',
      'unlink p',
      'stat q nlink',
      'chown l 1:1',
      'stat m owner,nlink',
      'unlink m',
    ],
    { lower: [['mknod p p', 'link p q', 'symlink to l', 'link l m']] },
  ),
  'index-truncate': indexed(['truncate a 2', 'cat b', 'open f a RDWR|TRUNC', 'write f 0 z', 'cat d/c']),
  'index-half-hidden': indexed(
    ['stat a nlink', 'add a 1', 'cat d/c', 'stat d/c nlink', 'unlink d/c', 'stat a nlink'],
    {
      lower: [['whiteout b'], ['put a text', 'link a b', 'dir d', 'link a d/c']],
    },
  ),
  'index-two-layers': indexed(['add a 1', 'cat b', 'stat b nlink', 'unlink a', 'cat a', 'stat b nlink'], {
    lower: [
      ['put a top', 'link a b'],
      ['put a low', 'link a c'],
    ],
  }),
  'index-with-metacopy': indexed(
    ['chmod a 600', 'cat b', 'stat d/c mode,nlink,blocks', 'add a 1', 'cat d/c', 'unlink b', 'stat a nlink'],
    { options: ['index=on', 'metacopy=on'], lower: [['put a t*9000', 'link a b', 'dir d', 'link a d/c']] },
  ),
  'index-last-name-is-linked-up': indexed([
    'add b 1',
    'unlink b',
    'unlink a',
    'add d/c 2',
    'rename d/c a',
    'cat a',
  ]),
  'index-xattr-by-another-name': indexed([
    'add a 1',
    'setxattr b user.k v',
    'setxattr b user.none v REPLACE',
    'removexattr d/c user.k',
    'getxattr a user.k',
    'chmod b 600',
  ]),
  'index-changed-by-another-name': indexed(['lazyopen f a RDWR', 'cat b', 'write f 0 T', 'cat d/c']),
  'index-changed-by-many-names': indexed(
    ['cat a', 'add d/c 1', 'stat a', 'chmod b 600', 'stat d/c', 'chown a 1:1'],
    {
      look: 'each',
    },
  ),
  'index-broken-before': {
    options,
    lower,
    look: 'last',
    upper: ['put a other', 'link a z'],
    steps: [
      'stat a nlink',
      'stat b nlink',
      'add b 1',
      'cat d/c',
      'cat a',
      'unlink a',
      'stat z nlink',
      'stat b nlink',
    ],
  },
};
