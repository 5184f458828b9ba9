/** Rows of the op table for the connection itself, and for operations that plyfs leaves to the kernel. */
import { ENOSYS } from '../sys/errno.js';
import { FUSE_INIT } from './abi.js';
import type { OpRow } from './exchange.js';
import { init } from './init.js';

/** "Never ask again". */
const never = (): number => -ENOSYS;

export const sessionOps: readonly OpRow[] = [
  // Valid replies: init, errno (which ends the connection).
  { code: FUSE_INIT, name: 'INIT', args: 8, handle: init, show: (r) => `version ${r.u32(0)}.${r.u32(4)}` },
  // Valid replies: empty.
  {
    code: 38,
    name: 'DESTROY',
    args: 0,
    handle: (x) => {
      x.fs.destroy();
      return 0;
    },
  },
  // No reply: the interrupted request is answered in due course.
  { code: 36, name: 'INTERRUPT', args: 8, handle: () => 0, replies: false, show: (r) => `#${r.u64(0)}` },
  {
    code: 50,
    name: 'SYNCFS',
    args: 8,
    handle: (x) => {
      x.fs.syncfs();
      return 0;
    },
  },
  // The kernel keeps locks itself and does not send these, since INIT did not ask for them.
  { code: 31, name: 'GETLK', args: 48, handle: never },
  { code: 32, name: 'SETLK', args: 48, handle: never },
  { code: 33, name: 'SETLKW', args: 48, handle: never },
  // No block device, no polling, no DAX window.
  { code: 37, name: 'BMAP', args: 16, handle: never },
  { code: 40, name: 'POLL', args: 24, handle: never },
  // Answer to NOTIFY_RETRIEVE, which is never sent. No reply.
  { code: 41, name: 'NOTIFY_REPLY', args: 0, handle: () => 0, replies: false },
  { code: 48, name: 'SETUPMAPPING', args: 40, handle: never },
  { code: 49, name: 'REMOVEMAPPING', args: 4, handle: never },
];
