/**
 * Nodes that the kernel forgot and asks for again, as under memory pressure. They have their own chapter, and so their own
 * mount: `forget` affects the whole machine.
 */
import type { Scenarios } from '../scenario.js';

export const forgotten: Scenarios = {
  'forgotten-merged': {
    lower: [
      ['put q/d/full top', 'put q/d/stays s', 'opaque q/c', 'put q/c/1 x', 'dir q/a'],
      ['put q/d/full low', 'put q/d/low x', 'put q/c/2 x'],
    ],
    steps: [
      'forget',
      'list q',
      'put q/d/new y',
      'unlink q/d/low',
      'forget',
      'list q',
      'list q/d',
      'list q/c',
      'cat q/d/full',
      'add q/d/full z',
      'forget',
      'cat q/d/full',
      'list q/d',
    ],
  },
  'forgotten-changes': {
    lower: [['put d/a x', 'put d/b x', 'put d/c/in x', 'put e/f x', 'symlink x l']],
    steps: [
      'rename d/a d/n',
      'unlink d/b',
      'unlink d/c/in',
      'rmdir d/c',
      'mkdir d/c',
      'forget',
      'list d',
      'list d/c',
      'cat d/n',
      'stat d/b',
      'link d/n e/h',
      'chown l 1:1',
      'forget',
      'stat e/h nlink',
      'same none l',
      'readlink l',
      'rename e/h d/b',
      'forget',
      'list e',
      'list d',
    ],
  },
  'forgotten-open': {
    lower: [['put f text', 'put g text']],
    steps: [
      'open a f RDONLY',
      'open b g RDWR',
      'unlink f',
      'write b 0 T',
      'forget',
      'read a 0 9',
      'read b 0 9',
      'write b 0 X',
      'unlink g',
      'forget',
      'read b 0 9',
      'fstat b size',
    ],
  },
};
