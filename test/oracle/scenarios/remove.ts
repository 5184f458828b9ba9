/** unlink and rmdir: OVERLAYFS.md section 2. */
import type { Scenarios } from '../scenario.js';

export const remove: Scenarios = {
  'unlink-lower': {
    lower: [['put d/f x', 'put d/g x']],
    steps: ['unlink d/f', 'stat d/f', 'unlink d/f', 'list d', 'stat d mtime'],
  },
  'unlink-upper': { upper: ['put d/f x'], steps: ['unlink d/f', 'list d'] },
  'unlink-both': { lower: [['put d/f l']], upper: ['put d/f u'], steps: ['unlink d/f', 'list d'] },
  'unlink-copied-up': { lower: [['put f x']], steps: ['add f y', 'unlink f', 'stat f'] },
  'unlink-below-whiteout': {
    lower: [['whiteout d/f'], ['put d/f x']],
    upper: ['put d/f new'],
    steps: ['unlink d/f', 'list d'],
  },
  'unlink-below-opaque': {
    lower: [['opaque d'], ['put d/f x']],
    upper: ['put d/f new'],
    steps: ['unlink d/f', 'list d'],
  },
  'unlink-in-opaque-upper': {
    lower: [['put d/f x']],
    upper: ['opaque d', 'put d/f new'],
    steps: ['unlink d/f', 'list d'],
  },
  'unlink-whited-out-in-upper': {
    lower: [['put f x']],
    upper: ['whiteout f'],
    steps: ['unlink f', 'put f y', 'unlink f'],
  },
  'unlink-kinds': {
    lower: [['symlink x l', 'mknod p p', 'mknod c c 600 1:3', 'mknod s s', 'dir d']],
    steps: ['unlink l', 'unlink p', 'unlink c', 'unlink s', 'unlink d', 'list .'],
  },
  'unlink-hard-links': {
    lower: [['put a x', 'link a b']],
    upper: ['put c x', 'link c d'],
    steps: ['unlink a', 'stat b nlink', 'unlink c', 'stat d nlink', 'unlink d', 'unlink b'],
  },
  'unlink-open': {
    lower: [['put f lower', 'put g lower']],
    upper: ['put u upper'],
    steps: [
      'open a f RDONLY',
      'open b g RDWR',
      'open c u RDWR',
      'unlink f',
      'unlink g',
      'unlink u',
      'read a 0 10',
      'write b 0 NEW',
      'read b 0 10',
      'write c 5 more',
      'read c 0 20',
      'fstat a size,nlink',
      'fstat b size,nlink',
      'fstat c size,nlink',
      'fchmod b 600',
      'fstat b mode',
      'ftruncate c 2',
      'fstat c size',
      'put f other',
      'read a 0 10',
      'linkfd c back',
    ],
  },
  'rmdir-lower': {
    lower: [['dir d', 'put e/f x']],
    steps: ['rmdir d', 'rmdir d', 'rmdir e', 'stat d', 'list .'],
  },
  'rmdir-upper': {
    upper: ['dir d', 'put e/f x'],
    steps: ['rmdir d', 'rmdir e', 'unlink e/f', 'rmdir e', 'list .'],
  },
  'rmdir-merged-emptied': {
    lower: [['put d/a x'], ['put d/b x']],
    upper: ['put d/c x'],
    steps: ['unlink d/a', 'unlink d/b', 'rmdir d', 'unlink d/c', 'rmdir d', 'list .', 'mkdir d', 'list d'],
  },
  'whiteouts-in-one-layer': {
    upper: ['dir d', 'whiteout d/x', 'whiteout d/y', 'dir p/q', 'whiteout p/q/z'],
    steps: ['list d', 'rmdir d', 'rmdir p/q', 'list .'],
  },
  'rmdir-only-whiteouts': {
    lower: [['put d/x x', 'put d/y x', 'put p/q/z x', 'dir o']],
    upper: ['whiteout d/x', 'whiteout d/y', 'whiteout p/q/z'],
    steps: ['list d', 'rmdir d', 'rmdir p/q', 'rmdir p', 'list .'],
  },
  'rmdir-whiteouts-in-lower': {
    lower: [['whiteout d/f'], ['put d/f x']],
    steps: ['list d', 'rmdir d', 'list .'],
  },
  'rmdir-odd': {
    lower: [['put f x', 'dir d']],
    steps: ['rmdir f', 'rmdir .', 'rmdir d/.', 'rmdir d/..', 'rmdir none', 'rmdir f/x'],
  },
  'rmdir-open': {
    lower: [['dir d']],
    steps: ['open a d RDONLY|DIRECTORY', 'rmdir d', 'names a', 'fstat a type,nlink', 'mkdir d', 'names a'],
  },
  'rmdir-current-then-create': {
    upper: ['dir d'],
    steps: ['open a d RDONLY|DIRECTORY', 'rmdir d', 'sh cd / && true', 'put d/x y', 'list d'],
  },
  'remove-and-recreate': {
    lower: [['put d/a 1', 'put d/b/c 2']],
    steps: [
      'unlink d/a',
      'put d/a new',
      'unlink d/a',
      'mkdir d/a',
      'put d/a/x y',
      'unlink d/a/x',
      'rmdir d/a',
      'symlink z d/a',
      'unlink d/a',
      'unlink d/b/c',
      'rmdir d/b',
      'put d/b file',
      'unlink d/b',
      'list d',
    ],
  },
};
