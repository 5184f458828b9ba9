/** The mount options that are not the overlay's: those of mount(8) and of FUSE. */
import { unescapeValue } from '../overlay/option-text.js';
import { UserError } from '../overlay/user-error.js';
import * as sys from '../sys/index.js';
import type { KeepAwakeMode } from './keep-awake.js';
import { PROPAGATION } from './propagation.js';

/** One `-o` word: `key` or `key=value`; latin1. */
export interface OptionWord {
  readonly key: string;
  /** null: no `=`. */
  readonly value: string | null;
}

/** How requests travel: by the kernel's protocol, or through libfuse 2.9 and the npm package fuse-native. */
export type Transport = 'kernel' | 'fuse-native';

/** The result of all words together. */
export interface KernelOptions {
  /** MS_* flags. */
  flags: number;
  /** The flags that a word has set or cleared. */
  namedFlags: number;
  /** MS_PRIVATE, MS_SHARED, MS_SLAVE or MS_UNBINDABLE; null: as the parent mount. */
  propagation: number | null;
  allowOther: boolean | 'auto';
  defaultPermissions: boolean;
  maxRead: number | null;
  /** `fsname=`; null: not given. */
  source: string | null;
  /** Passed to the kernel verbatim. */
  extra: string[];
  data: 'cached' | 'passthrough' | 'auto';
  transport: Transport;
  /** Show birth times, at the cost of a request for every statx(2) that asks for one. */
  btime: boolean;
  keepAwake: KeepAwakeMode;
  debug: boolean;
  /** Sentences about options that have no effect here. */
  warnings: string[];
}

/** Words that set (`true`) or clear flags. */
const FLAGS: Readonly<Record<string, readonly [number, boolean]>> = {
  ro: [sys.MS_RDONLY, true],
  rw: [sys.MS_RDONLY, false],
  nosuid: [sys.MS_NOSUID, true],
  suid: [sys.MS_NOSUID, false],
  nodev: [sys.MS_NODEV, true],
  dev: [sys.MS_NODEV, false],
  noexec: [sys.MS_NOEXEC, true],
  exec: [sys.MS_NOEXEC, false],
  sync: [sys.MS_SYNCHRONOUS, true],
  async: [sys.MS_SYNCHRONOUS, false],
  dirsync: [sys.MS_DIRSYNC, true],
  mand: [sys.MS_MANDLOCK, true],
  nomand: [sys.MS_MANDLOCK, false],
  nosymfollow: [sys.MS_NOSYMFOLLOW, true],
  symfollow: [sys.MS_NOSYMFOLLOW, false],
  noatime: [sys.MS_NOATIME, true],
  atime: [sys.MS_NOATIME, false],
  nodiratime: [sys.MS_NODIRATIME, true],
  diratime: [sys.MS_NODIRATIME, false],
  relatime: [sys.MS_RELATIME, true],
  norelatime: [sys.MS_RELATIME, false],
  strictatime: [sys.MS_STRICTATIME, true],
  nostrictatime: [sys.MS_STRICTATIME, false],
  lazytime: [sys.MS_LAZYTIME, true],
  nolazytime: [sys.MS_LAZYTIME, false],
};

/** Words that mount(8) handles by itself, or that FUSE programs accept without effect. */
const IGNORED = new Set([
  'defaults',
  'auto',
  'noauto',
  'user',
  'nouser',
  'users',
  'owner',
  'group',
  'nousers',
  'noowner',
  'nogroup',
  'nofail',
  '_netdev',
  'silent',
  'loud',
  'iversion',
  'noiversion',
  'comment',
  'subtype',
  'nonempty',
  'big_writes',
  'large_read',
  'kernel_cache',
  'rootmode',
  'user_id',
  'group_id',
]);

/** Words of FUSE programs for things that plyfs does in its own way: accepted with a warning. */
const WITHOUT_EFFECT = new Set([
  'clone_fd',
  'max_idle_threads',
  'max_threads',
  'auto_unmount',
  'blkdev',
  'splice_write',
  'splice_read',
  'splice_move',
  'max_write',
  'max_readahead',
  'max_background',
  'congestion_threshold',
  'async_read',
  'sync_read',
  'attr_timeout',
  'entry_timeout',
  'negative_timeout',
]);

/** What is meant by options of other filesystems. */
const HINTS: Readonly<Record<string, string>> = {
  uid: "'squash_to_uid=ID' shows all files as one user's, 'uidmapping=' changes owners one by one",
  gid: "'squash_to_gid=ID' shows all files as one group's, 'gidmapping=' changes groups one by one",
  bind: "a bind mount is made by 'mount --bind'",
};

const SELINUX = new Set(['context', 'fscontext', 'defcontext', 'rootcontext']);

function number(word: OptionWord): number {
  if (word.value === null || !/^\d{1,9}$/.test(word.value)) {
    throw new UserError(`the option ${word.key} needs a number, not '${word.value ?? ''}'.`);
  }
  return Number(word.value);
}

/** The value of a word that has a fixed set of values. */
function oneOf<T extends string>(word: OptionWord, values: readonly T[]): T {
  const chosen = values.find((value) => value === word.value);
  if (chosen !== undefined) return chosen;
  const list = `${values.slice(0, -1).join(', ')} or ${values.at(-1)}`;
  throw new UserError(`the option ${word.key} is ${list}, not '${word.value ?? ''}'.`);
}

/** SELinux contexts are for the kernel, and it knows them only when SELinux is on. */
function selinux(word: OptionWord, out: KernelOptions, enabled: boolean): void {
  if (word.value === null || word.value === '') throw new UserError(`the option ${word.key} needs a value.`);
  if (enabled) out.extra.push(`${word.key}="${word.value}"`);
  else out.warnings.push(`the option ${word.key} has no effect: SELinux is not enabled.`);
}

/** libfuse admits everybody and then rejects all but root; the kernel's own check can only admit the mounting user. */
function allowRoot(out: KernelOptions): void {
  out.allowOther = false;
  if (process.geteuid!() !== 0) out.warnings.push('the option allow_root lets in this user only, not root.');
}

function applyWord(word: OptionWord, out: KernelOptions, selinuxEnabled: boolean): void {
  const { key, value } = word;
  const flag = Object.hasOwn(FLAGS, key) ? FLAGS[key]! : null;
  if (flag !== null && value === null) {
    out.flags = flag[1] ? out.flags | flag[0] : out.flags & ~flag[0];
    out.namedFlags |= flag[0];
  } else if (Object.hasOwn(PROPAGATION, key) && value === null) out.propagation = PROPAGATION[key]!;
  else if (SELINUX.has(key)) selinux(word, out, selinuxEnabled);
  else if (key === 'allow_other') out.allowOther = true;
  else if (key === 'allow_root') allowRoot(out);
  else if (key === 'default_permissions') out.defaultPermissions = true;
  else if (key === 'max_read')
    out.maxRead = number(word) || null; // as libfuse: 0 is no limit
  else if (key === 'fsname')
    out.source = unescapeValue(value ?? '') || null; // the kernel takes no empty one
  else if (key === 'remount')
    throw new UserError('remount changes a mount that exists; the plyfs command takes it, alone.');
  else if (key === 'data') out.data = oneOf(word, ['cached', 'passthrough', 'auto']);
  else if (key === 'transport') out.transport = oneOf(word, ['kernel', 'fuse-native']);
  else if (key === 'btime') out.btime = true;
  else if (key === 'keep_awake') out.keepAwake = oneOf(word, ['auto', 'on', 'off']);
  else if (key === 'debug') out.debug = true;
  else if (WITHOUT_EFFECT.has(key)) out.warnings.push(`the option ${key} has no effect here.`);
  else if (!IGNORED.has(key) && !key.startsWith('x-') && !key.startsWith('X-')) {
    const hint = Object.hasOwn(HINTS, key) ? `; ${HINTS[key]}` : '';
    throw new UserError(`unknown option '${value === null ? key : `${key}=${value}`}'${hint}.`);
  }
}

/** Evaluates the words; of conflicting ones the last wins. Throws a UserError for an unknown word or a bad value. */
export function parseMountOptions(words: readonly OptionWord[], selinuxEnabled: boolean): KernelOptions {
  const out: KernelOptions = {
    flags: 0,
    namedFlags: 0,
    propagation: null,
    allowOther: 'auto',
    defaultPermissions: true,
    maxRead: null,
    source: null,
    extra: [],
    data: 'auto',
    transport: 'kernel',
    btime: false,
    keepAwake: 'auto',
    debug: false,
    warnings: [],
  };
  for (const word of words) applyWord(word, out, selinuxEnabled);
  return out;
}
