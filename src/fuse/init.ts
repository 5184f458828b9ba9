/** INIT: negotiates what kernel and server can both do. */
import { EPROTO } from '../sys/errno.js';
import * as abi from './abi.js';
import type { Exchange } from './exchange.js';
import type { Settings } from './options.js';

/** The outcome of INIT. */
export interface Negotiated {
  /** Protocol version spoken: 7.`minor`; 0 before INIT. */
  readonly minor: number;
  /** INIT flags in force: those that the kernel offered and we want. Low and high word. */
  readonly flags: number;
  readonly flags2: number;
  /** The largest WRITE in bytes. */
  readonly maxWrite: number;
  /** OPEN is answered with ENOSYS, after which the kernel never sends it again. */
  readonly zeroOpen: boolean;
  readonly zeroOpendir: boolean;
  /** SETXATTR carries flags of its own. */
  readonly setxattrExt: boolean;
  /** Opens may be answered with a backing id. */
  readonly passthrough: boolean;
}

/** Before INIT. */
export const NOTHING: Negotiated = {
  minor: 0,
  flags: 0,
  flags2: 0,
  maxWrite: abi.PAGE_SIZE,
  zeroOpen: false,
  zeroOpendir: false,
  setxattrExt: false,
  passthrough: false,
};

/** An INIT flag that we want (struct fuse_conn_info.want of libfuse). */
interface WantedFlag {
  readonly name: string;
  /** 0: flags, 1: flags2. */
  readonly word: 0 | 1;
  readonly bit: number;
  readonly when?: (s: Settings) => boolean;
}

/**
 * What we ask for when the kernel offers it. Left out on purpose:
 * - WRITEBACK_CACHE: writes go through, so that the filesystem knows sizes and times;
 * - READDIRPLUS_AUTO: without it a first walk needs no LOOKUPs;
 * - POSIX_LOCKS, FLOCK_LOCKS: the kernel keeps the locks itself;
 * - AUTO_INVAL_DATA: nobody changes a layer behind our back, so pages stay valid;
 * - EXPORT_SUPPORT: nodeids end with the mount.
 */
const WANTED: readonly WantedFlag[] = [
  { name: 'ASYNC_READ', word: 0, bit: abi.FUSE_ASYNC_READ },
  // Under zero-message opens the truncation would get lost; without this flag the kernel sends SETATTR.
  { name: 'ATOMIC_O_TRUNC', word: 0, bit: abi.FUSE_ATOMIC_O_TRUNC, when: (s) => s.passthrough },
  { name: 'BIG_WRITES', word: 0, bit: abi.FUSE_BIG_WRITES },
  { name: 'DONT_MASK', word: 0, bit: abi.FUSE_DONT_MASK },
  { name: 'HAS_IOCTL_DIR', word: 0, bit: abi.FUSE_HAS_IOCTL_DIR },
  { name: 'DO_READDIRPLUS', word: 0, bit: abi.FUSE_DO_READDIRPLUS },
  { name: 'NO_OPEN_SUPPORT', word: 0, bit: abi.FUSE_NO_OPEN_SUPPORT, when: (s) => !s.passthrough },
  { name: 'PARALLEL_DIROPS', word: 0, bit: abi.FUSE_PARALLEL_DIROPS },
  // Implies default_permissions: the kernel checks modes and ACLs.
  { name: 'POSIX_ACL', word: 0, bit: abi.FUSE_POSIX_ACL, when: (s) => s.acl && s.xattrs },
  { name: 'ABORT_ERROR', word: 0, bit: abi.FUSE_ABORT_ERROR },
  { name: 'MAX_PAGES', word: 0, bit: abi.FUSE_MAX_PAGES },
  { name: 'CACHE_SYMLINKS', word: 0, bit: abi.FUSE_CACHE_SYMLINKS },
  { name: 'NO_OPENDIR_SUPPORT', word: 0, bit: abi.FUSE_NO_OPENDIR_SUPPORT },
  { name: 'EXPLICIT_INVAL_DATA', word: 0, bit: abi.FUSE_EXPLICIT_INVAL_DATA },
  { name: 'HANDLE_KILLPRIV_V2', word: 0, bit: abi.FUSE_HANDLE_KILLPRIV_V2 },
  { name: 'SETXATTR_EXT', word: 0, bit: abi.FUSE_SETXATTR_EXT },
  { name: 'INIT_EXT', word: 0, bit: abi.FUSE_INIT_EXT },
  { name: 'PASSTHROUGH', word: 1, bit: abi.FUSE_PASSTHROUGH, when: (s) => s.passthrough && s.backing },
  { name: 'NO_EXPORT_SUPPORT', word: 1, bit: abi.FUSE_NO_EXPORT_SUPPORT },
];

/** Names of the flags that are set, for log and trace. */
function flagNames(flags: number, flags2: number): string[] {
  return WANTED.filter((w) => ((w.word === 0 ? flags : flags2) & w.bit) !== 0).map((w) => w.name);
}

function wantedBits(s: Settings, word: 0 | 1): number {
  let bits = 0;
  for (const flag of WANTED) {
    if (flag.word === word && (flag.when?.(s) ?? true)) bits |= flag.bit;
  }
  return bits;
}

/**
 * Layers may lie on a stacked filesystem, e.g. overlayfs. The kernel accepts a backing file if the stack depth of its
 * filesystem (ext4: 0, overlayfs on ext4: 1) is less than this number, and assigns this number to our mount as its depth.
 * 2 is the largest that it allows (FILESYSTEM_MAX_STACK_DEPTH); the price is that overlayfs can't be mounted on top.
 */
const MAX_STACK_DEPTH = 2;

/** Background requests (readahead, asynchronous direct I/O) in flight before the kernel queues further ones. */
const MAX_BACKGROUND = 64;

function agree(s: Settings, minor: number, offered: number, offered2: number): Negotiated {
  const flags = offered & wantedBits(s, 0);
  const flags2 = (flags & abi.FUSE_INIT_EXT) !== 0 ? offered2 & wantedBits(s, 1) : 0;
  // Without MAX_PAGES a request has at most 32 pages.
  const most = (flags & abi.FUSE_MAX_PAGES) !== 0 ? abi.MAX_DATA : 32 * abi.PAGE_SIZE;
  return {
    minor: Math.min(minor, abi.FUSE_KERNEL_MINOR_VERSION),
    flags,
    flags2,
    maxWrite: Math.min(s.maxWrite, most),
    zeroOpen: (flags & abi.FUSE_NO_OPEN_SUPPORT) !== 0,
    zeroOpendir: (flags & abi.FUSE_NO_OPENDIR_SUPPORT) !== 0,
    setxattrExt: (flags & abi.FUSE_SETXATTR_EXT) !== 0,
    passthrough: (flags2 & abi.FUSE_PASSTHROUGH) !== 0,
  };
}

function encode(x: Exchange, n: Negotiated, readahead: number): number {
  const { reply } = x;
  reply.zero(0, abi.INIT_OUT);
  reply.halves(0, abi.FUSE_KERNEL_VERSION, n.minor);
  reply.halves(8, readahead, n.flags);
  // max_background, congestion_threshold: two 16-bit fields
  reply.halves(16, MAX_BACKGROUND | ((MAX_BACKGROUND * 0.75) << 16), n.maxWrite);
  // time_gran: 1 ns; max_pages, map_alignment: two 16-bit fields
  reply.halves(24, 1, Math.ceil(abi.MAX_DATA / abi.PAGE_SIZE));
  reply.halves(32, n.flags2, n.passthrough ? MAX_STACK_DEPTH : 0);
  return n.minor < 23 ? abi.INIT_OUT_COMPAT_22 : abi.INIT_OUT;
}

/**
 * Answers INIT. struct fuse_init_in: major, minor, max_readahead, flags; since 7.36 also flags2 and reserved words.
 * Returns the size of the reply's body in bytes, or -EPROTO for a kernel that is too old.
 */
export function init(x: Exchange): number {
  const { request: r, settings: s } = x;
  const major = r.u32(0);
  const minor = r.u32(4);
  if (major < abi.FUSE_KERNEL_VERSION || (major === abi.FUSE_KERNEL_VERSION && minor < abi.OLDEST_MINOR)) {
    s.log.error(
      { major, minor },
      `the kernel speaks FUSE ${major}.${minor}, at least 7.${abi.OLDEST_MINOR} is needed`,
    );
    return -EPROTO;
  }
  if (major > abi.FUSE_KERNEL_VERSION) {
    // The kernel reads only our version, and sends INIT again in that version.
    x.reply.zero(0, abi.INIT_OUT);
    x.reply.halves(0, abi.FUSE_KERNEL_VERSION, abi.FUSE_KERNEL_MINOR_VERSION);
    return abi.INIT_OUT;
  }
  const offered = r.size >= 16 ? r.u32(12) : 0;
  const offered2 = r.size >= 20 ? r.u32(16) : 0;
  const n = agree(s, minor, offered, offered2);
  x.negotiated = n;
  const level = s.passthrough && !n.passthrough ? 'warn' : 'info';
  s.log[level](
    {
      protocol: `7.${n.minor}`,
      kernel: `7.${minor}`,
      flags: flagNames(n.flags, n.flags2),
      maxWrite: n.maxWrite,
      readOnly: s.readOnly,
    },
    level === 'warn' ? 'no passthrough here: file data goes through this process' : 'FUSE connection',
  );
  return encode(x, n, r.size >= 12 ? r.u32(8) : 0);
}
