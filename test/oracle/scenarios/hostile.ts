/** Layers with odd or hostile bookkeeping: nothing outside of a layer is reached, and what makes no sense is an errno. */
import type { Scenarios } from '../scenario.js';

const on = ['redirect_dir=on'];
const meta = ['metacopy=on'];
const indexed = ['index=on'];

/** An upper directory with a redirect. */
function redirected(name: string, redirect: string): string[] {
  return [`dir ${name}`, `setxattr ${name} trusted.overlay.redirect ${redirect}`];
}

function hollow(path: string, redirect: string): string[] {
  return [
    `put ${path} ""`,
    `truncate ${path} 6`,
    `setxattr ${path} trusted.overlay.metacopy ""`,
    `setxattr ${path} trusted.overlay.redirect ${redirect}`,
  ];
}

const places = [
  ['empty', '""'],
  ['slash', '/'],
  ['slashes', '//'],
  ['dot', '.'],
  ['dots', '..'],
  ['up', '../other'],
  ['path', 'a/b'],
  ['trailing', '/a/'],
  ['double', '/a//b'],
  ['root-dots', '/..'],
  ['inner-dots', '/a/../b'],
  ['inner-dot', '/a/./b'],
  ['long', 'x*300'],
  ['deep', '/x*200/y*200/z*200'],
  ['none', '/nowhere'],
  ['file', '/@/plain'],
  ['link', '/@/link'],
  ['under-link', '/@/link/b'],
  ['under-file', '/@/plain/b'],
] as const;

export const hostile: Scenarios = {
  ...Object.fromEntries(
    places.map(([name, redirect]) => [
      `hostile-redirect-of-directory-${name}`,
      {
        options: on,
        lower: [['put a/b/f x', 'put other/f x', 'put plain x', 'symlink /etc link', 'put d/low x']],
        upper: redirected('d', redirect),
        steps: [
          'stat d type',
          'stat d/f',
          'stat d/passwd',
          'stat d/low',
          'mkdir d/new',
          'unlink d/f',
          'rmdir d',
        ],
        look: 'last' as const,
      },
    ]),
  ),
  ...Object.fromEntries(
    places.map(([name, redirect]) => [
      `hostile-redirect-of-metacopy-${name}`,
      {
        options: meta,
        lower: [
          ['put a/b secret', 'put other secret', 'put plain secret', 'symlink /etc link', 'put m secret'],
        ],
        upper: [...hollow('m', redirect), 'setxattr . trusted.overlay.impure y'],
        steps: ['stat m type', 'cat m', 'chmod m 600', 'add m x', 'unlink m'],
        look: 'last' as const,
      },
    ]),
  ),
  'hostile-redirect-not-followed': {
    options: ['redirect_dir=nofollow'],
    lower: [['put a/f x', 'put d/low x']],
    upper: redirected('d', '/@/a'),
    steps: ['stat d', 'list d', 'mkdir d', 'rmdir d'],
    look: 'last',
  },
  'hostile-origin': {
    lower: [['put a x', 'put b x', 'put c x', 'put d x', 'put e x', 'put f x', 'dir g', 'put h x']],
    upper: [
      'setxattr . trusted.overlay.impure y',
      'put a y',
      'setxattr a trusted.overlay.origin garbage',
      'put b y',
      'setxattr b trusted.overlay.origin %00%fb%1d%00%01',
      'put c y',
      'setxattr c trusted.overlay.origin %00%fb%ff%00%01%00*16%00*300',
      'put d y',
      'setxattr d trusted.overlay.origin %00%fb%15%00%01%00*16',
      'put e y',
      'setxattr e trusted.overlay.origin %00%fb%1d%01%01%00*16%01%01%01%01%01%01%01%01',
      'put f y',
      'setxattr f trusted.overlay.origin %00%fb%1d%00%01%00*16%ff%ff%ff%ff%ff%ff%ff%ff',
      'dir g',
      'setxattr g trusted.overlay.origin x*3000',
      'put h y',
      'setxattr h trusted.overlay.origin %01%fb%1d%00%01%00*16%01%01%01%01%01%01%01%01',
    ],
    steps: [
      'cat a',
      'cat b',
      'cat c',
      'cat d',
      'cat e',
      'cat f',
      'list g',
      'cat h',
      'add a x',
      'unlink b',
      'rename c i',
    ],
    look: 'last',
  },
  'hostile-origin-indexed': {
    options: indexed,
    lower: [['put a x', 'put b x', 'put c x', 'link c c2']],
    upper: [
      'setxattr . trusted.overlay.impure y',
      'put a y',
      'setxattr a trusted.overlay.origin garbage',
      'put b y',
      'setxattr b trusted.overlay.origin %00%fb%1d%00%01%00*16%ff%ff%ff%ff%ff%ff%ff%ff',
      'put c y',
      'setxattr c trusted.overlay.nlink U+999999999999',
    ],
    steps: [
      'cat a',
      'cat b',
      'cat c',
      'stat c nlink',
      'stat c2 nlink',
      'add c2 y',
      'unlink c',
      'unlink c2',
      'unlink a',
    ],
    look: 'last',
  },
  'hostile-opaque': {
    lower: [['put a/f x', 'put b/f x', 'put c/f x', 'put d/f x', 'put e x']],
    upper: [
      'dir a',
      'setxattr a trusted.overlay.opaque y*2000',
      'dir b',
      'setxattr b trusted.overlay.opaque %00',
      'dir c',
      'setxattr c trusted.overlay.opaque Y',
      'dir d',
      'setxattr d trusted.overlay.opaque xy',
      'put e y',
      'setxattr e trusted.overlay.opaque y',
    ],
    steps: ['list a', 'list b', 'list c', 'list d', 'cat e', 'unlink a/f', 'rmdir a'],
    look: 'last',
  },
  'hostile-bookkeeping-on-files': {
    options: meta,
    lower: [['put f x', 'symlink f l', 'put g secret']],
    upper: [
      'put f y',
      'setxattr f trusted.overlay.redirect g',
      'symlink x l',
      'setxattr l trusted.overlay.metacopy y',
      'setxattr l trusted.overlay.redirect ../../x',
      'put w ""',
      'setxattr w trusted.overlay.whiteout y',
      'mknod p p',
      'setxattr p trusted.overlay.opaque y',
    ],
    steps: [
      'cat f',
      'readlink l',
      'stat w',
      'stat p type',
      'rename f f2',
      'cat f2',
      'chown l 1:1',
      'unlink w',
    ],
    look: 'last',
  },
  'hostile-metacopy-value': {
    options: meta,
    lower: [['put a secret', 'put b secret', 'put c secret', 'put d secret']],
    upper: [
      'setxattr . trusted.overlay.impure y',
      ...['a', 'b', 'c', 'd'].flatMap((name) => [`put ${name} ""`, `truncate ${name} 6`]),
      'setxattr a trusted.overlay.metacopy y',
      'setxattr b trusted.overlay.metacopy x*3000',
      'setxattr c trusted.overlay.metacopy %00%04%00%00',
      'setxattr d trusted.overlay.metacopy %05%04%00%00',
    ],
    steps: ['cat a', 'cat b', 'cat c', 'cat d', 'chmod a 600', 'unlink b'],
    look: 'last',
  },
  'hostile-symlinks-in-place-of-directories': {
    lower: [
      ['symlink /etc a', 'symlink ../../../../../etc b', 'dir c'],
      ['put a/passwd low', 'put b/passwd low', 'symlink /etc c', 'put d/f x'],
    ],
    upper: ['symlink /etc d'],
    steps: [
      'readlink a',
      'stat a type',
      'stat b type',
      'list c',
      'stat c/passwd',
      'readlink d',
      'unlink d',
      'stat d',
      'mkdir a',
      'unlink a',
      'mkdir a',
      'list a',
    ],
    look: 'last',
  },
  'hostile-devices': {
    lower: [['mknod a b 600 1:1', 'mknod s s', 'mknod p p']],
    upper: ['mknod n c 600 0:5', 'whiteout a'],
    steps: ['stat a', 'stat s type', 'chmod s 600', 'unlink p', 'stat n rdev', 'rename s s2', 'link s2 s3'],
    look: 'last',
  },
};
