/** `metacopy=on`: changes of metadata copy no data; redirects to it; data-only layers. */
import type { Scenario, Scenarios } from '../scenario.js';

const options = ['metacopy=on'];
const lower = [
  ['put f x*20000', 'put g y*9000', 'put e ""', 'dir d', 'put d/h text', 'put s z*5000', 'link s t', 'dir k'],
];

function metacopy(steps: readonly string[], more: Partial<Scenario> = {}): Scenario {
  return { options, lower, steps, ...more };
}

/** Marks a file of the same size, without data, as a metacopy. */
function hollow(path: string, size: number, redirect?: string): string[] {
  return [
    `put ${path} ""`,
    `truncate ${path} ${size}`,
    `setxattr ${path} trusted.overlay.metacopy ""`,
    ...(redirect === undefined ? [] : [`setxattr ${path} trusted.overlay.redirect ${redirect}`]),
  ];
}

export const metacopies: Scenarios = {
  'metacopy-chmod-chown-xattr': metacopy([
    'chmod f 600',
    'stat f mode,size,blocks',
    'cat f',
    'chown g 5:6',
    'cat g',
    'setxattr d/h user.a 1',
    'cat d/h',
    'utimens s 1 2',
    'chmod e 600',
    'stat e size,blocks',
    'unlink d/h',
    'stat d/h',
  ]),
  'metacopy-write': metacopy([
    'chmod f 600',
    'add f new',
    'stat f blocks',
    'cat f',
    'chmod e 600',
    'add e new',
  ]),
  'metacopy-truncate': metacopy([
    'chmod f 600',
    'truncate f 5',
    'cat f',
    'chmod g 600',
    'truncate g 0',
    'cat g',
  ]),
  'metacopy-open-truncate': metacopy([
    'chmod f 600',
    'lazyopen a f WRONLY|TRUNC',
    'cat f',
    'write a 0 z',
    'cat f',
  ]),
  'metacopy-keeps-set-id': metacopy([
    'chmod f 4755',
    'user 7:7',
    'stat f mode',
    'user 0:0',
    'add f x',
    'stat f mode',
  ]),
  'metacopy-rename': metacopy([
    'chmod f 600',
    'rename f r',
    'cat r',
    'rename r d/r',
    'cat d/r',
    'rename d/r q',
    'cat q',
    'rename g g2',
    'cat g2',
    'rename d/h h',
    'cat h',
    'rename h d/h',
    'cat d/h',
    'add q x',
    'rename q f',
    'stat f size,blocks',
  ]),
  'metacopy-link': metacopy([
    'chmod f 600',
    'link f l',
    'cat l',
    'link g d/g',
    'cat d/g',
    'rename d/g d/g2',
    'cat d/g2',
    'unlink g',
    'cat d/g2',
    'add l x',
    'stat f size,blocks',
  ]),
  'metacopy-of-hard-link': metacopy([
    'chmod s 600',
    'cat s',
    'cat t',
    'rename s s2',
    'cat s2',
    'rename s2 d/s2',
    'cat d/s2',
    'chmod t 600',
    'cat t',
  ]),
  'metacopy-hard-link-indexed': metacopy(
    [
      'chmod s 600',
      'cat t',
      'stat t mode,nlink',
      'rename s s2',
      'cat s2',
      'cat t',
      'link t k/u',
      'cat k/u',
      'add t x',
    ],
    { options: ['metacopy=on', 'index=on'] },
  ),
  'metacopy-exchange': metacopy([
    'chmod f 600',
    'rename f g EXCHANGE',
    'cat f',
    'cat g',
    'rename f d/h EXCHANGE',
    'cat f',
    'cat d/h',
  ]),
  'metacopy-in-renamed-directory': metacopy([
    'chmod d/h 600',
    'rename d n',
    'cat n/h',
    'rename n/h n/i',
    'cat n/i',
    'rename n/i j',
    'cat j',
  ]),
  'metacopy-with-capability': metacopy(
    [
      'chmod f 755',
      'listxattr f',
      'add f x',
      'listxattr f',
      'chmod g 700',
      'listxattr g',
      'truncate g 3',
      'listxattr g',
    ],
    {
      lower: [
        [
          'put f x*9000',
          'setxattr f security.capability %01%00%00%02%00%04%00%00%00%00%00%00%00%00%00%00%00%00%00%00',
          'put g x*9000',
          'setxattr g security.capability %01%00%00%02%00%04%00%00%00%00%00%00%00%00%00%00%00%00%00%00',
        ],
      ],
    },
  ),
  'metacopy-lower': metacopy(
    ['cat f', 'stat f size,blocks,mode', 'chmod f 600', 'cat f', 'add f x', 'cat f'],
    {
      lower: [[...hollow('f', 6), 'chmod f 640'], ['put f bottom']],
    },
  ),
  'metacopy-lower-chain': metacopy(['cat f', 'stat f size,blocks,mode', 'rename f g', 'cat g', 'add g x'], {
    lower: [[...hollow('f', 6), 'chmod f 640'], hollow('f', 6), ['put f bottom']],
  }),
  'metacopy-lower-redirect': metacopy(
    ['cat d/f', 'cat g', 'cat i', 'list .', 'chmod d/f 600', 'cat d/f', 'rename g d/g', 'cat d/g'],
    {
      lower: [
        ['dir d', ...hollow('d/f', 4, 'h'), ...hollow('g', 4, 'h'), ...hollow('i', 4, 'h')],
        ['put h data', 'put d/h text'],
      ],
    },
  ),
  'metacopy-without-data': metacopy(['stat f', 'list .', 'cat f', 'stat g', 'unlink f', 'put f x'], {
    lower: [[...hollow('f', 6), ...hollow('g', 6)], ['dir g']],
  }),
  'metacopy-upper-without-data': metacopy(['stat f', 'list .', 'stat g', 'unlink f'], {
    upper: [...hollow('f', 6), ...hollow('g', 6)],
    lower: [['dir g']],
  }),
  'metacopy-upper-redirect': metacopy(['cat h', 'rename h d/h', 'cat d/h', 'add d/h x', 'list .'], {
    upper: [...hollow('h', 4, 'k'), 'whiteout k', 'setxattr . trusted.overlay.impure y'],
    lower: [['dir d', 'put k data']],
  }),
  'metacopy-through-a-renamed-directory': metacopy(
    ['cat f', 'cat g', 'rename e/d/c h', 'chmod h 600', 'cat h'],
    {
      upper: [
        ...[...hollow('f', 4, '/@/e/d/f'), ...hollow('g', 4, '/@/e/d/p/g')],
        ...['dir e/d/p', 'whiteout e/d/f', 'whiteout e/d/p/g'],
      ],
      lower: [
        ['dir e/d', 'setxattr e/d trusted.overlay.redirect /@/d', 'whiteout d'],
        ['put d/f data', 'put d/p/g text', 'put d/c cccc'],
      ],
    },
  ),
  'metacopy-data-only': {
    options,
    data: 2,
    lower: [
      [
        'dir d',
        ...hollow('d/f', 4, '/@/x/a'),
        ...hollow('g', 5, '/@/x/b'),
        ...hollow('missing', 5, '/@/x/none'),
        ...hollow('link', 5, '/@/l/b'),
        ...hollow('directory', 5, '/@/x'),
        ...hollow('relative', 5, 'x'),
        ...hollow('nameless', 5),
      ],
      ['put x/a data', 'put hidden x', 'symlink x l'],
      ['put x/a low!', 'put x/b lower'],
    ],
    steps: [
      'list .',
      'cat d/f',
      'cat g',
      'stat g size,blocks',
      'stat missing size,blocks',
      'cat missing',
      'cat link',
      'cat directory',
      'cat relative',
      'cat nameless',
      'stat hidden',
      'chmod d/f 600',
      'cat d/f',
      'rename d/f f',
      'cat f',
      'add f x',
      'cat f',
      'add missing x',
      'truncate missing 0',
      'link g h',
      'cat h',
      'add h x',
      'cat g',
      'unlink d/f',
    ],
    look: 'last',
  },
  ...Object.fromEntries(
    ['redirect_dir=follow', 'redirect_dir=nofollow'].map((option) => [
      `data-only-without-metacopy-${option.slice(13)}`,
      {
        options: [option],
        data: 2,
        upper: [...hollow('u', 4, '/@/x/a'), ...hollow('f', 4, '/@/x/a')],
        lower: [
          [...hollow('high', 4, '/@/x/a'), ...hollow('over', 4), 'dir d'],
          [
            ...[...hollow('d/low', 4, '/@/x/a'), ...hollow('g', 5, '/@/x/b'), ...hollow('over', 4, '/@/x/a')],
            ...[...hollow('f', 4, '/@/x/a'), ...hollow('relative', 5, 'x'), ...hollow('nameless', 5)],
            ...[...hollow('missing', 5, '/@/x/none'), ...hollow('broken', 5, '/@//x'), 'put plain x'],
          ],
          ['put x/a data', 'put over data'],
          ['put x/b other'],
        ],
        steps: [
          ...['high', 'over', 'd/low', 'g', 'f', 'u', 'relative', 'nameless', 'broken'].map(
            (name) => `stat ${name}`,
          ),
          ...['stat missing size', 'cat d/low', 'cat g', 'cat plain', 'list .', 'list d'],
          ...['chmod d/low 600', 'cat d/low', 'add g x', 'cat g', 'link g h', 'rename d/low low', 'cat low'],
        ],
        look: 'last' as const,
      },
    ]),
  ),
  'metacopy-data-only-views': {
    options,
    data: 1,
    lower: [['dir d', ...hollow('d/f', 4, '/@/x/a'), ...hollow('g', 4, '/@/x/a')], ['put x/a data']],
    steps: [
      'cat d/f',
      'chown d/f 1:1',
      'rename d/f d/g',
      'add d/g 1',
      'chmod g 600',
      'rename g d/f',
      'cat d/f',
    ],
  },
  'metacopy-data-only-upper': {
    options,
    data: 1,
    upper: [...hollow('u', 4, '/@/x/a'), ...hollow('v', 4, '/@/x/a'), 'setxattr v trusted.overlay.origin ""'],
    lower: [[...hollow('v', 4, '/@/x/a')], ['put x/a data']],
    steps: ['stat u', 'stat v', 'list .'],
    look: 'last',
  },
};
