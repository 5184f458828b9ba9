/**
 * Every option of an overlay, in one table that reads and prints them: the kernel's names with the kernel's meanings,
 * those of fuse-overlayfs, and a few of our own.
 */
import { absolutePath } from './absolute-path.js';
import type { OverlayOptions } from './config.js';
import { escapeValue, splitLowers, unescapeValue } from './option-text.js';
import { UserError } from './user-error.js';

/**
 * The defaults: the kernel's, except for `xino`. Through FUSE all objects have the same st_dev, so where layers are on several
 * filesystems only xino keeps their inode numbers apart; the kernel, which reports one device per filesystem, can afford `off`.
 */
export const DEFAULTS: OverlayOptions = {
  lowerdir: [],
  datadir: [],
  upperdir: null,
  workdir: null,
  readOnly: false,
  accessTimes: 0,
  redirectDir: 'follow',
  metacopy: false,
  index: false,
  xino: 'auto',
  userxattr: false,
  volatile: false,
  uuid: 'auto',
  fsync: 'auto',
  acl: true,
  xattrs: true,
  whiteout: 'chardev',
  whPrefix: true,
  uidmapping: null,
  gidmapping: null,
  squashToUid: null,
  squashToGid: null,
  staticNlink: false,
  xattrPermissions: 0,
};

type Mutable<T> = { -readonly [K in keyof T]: T[K] };

/** Options while they are being read. */
export interface Draft extends Mutable<OverlayOptions> {
  lowerdir: string[];
  datadir: string[];
  readonly cwd: string;
  /** `lowerdir=` was given last: nothing may be appended to it. */
  lowersClosed: boolean;
  readonly given: Set<string>;
  readonly warnings: string[];
}

/** One option. */
export interface Row {
  readonly name: string;
  /** The form of the value; null: the option takes none. */
  readonly value: string | null;
  /** The value that a bare name stands for, where fuse-overlayfs accepts it without a value. */
  readonly bare?: string;
  /** Stores an unquoted value ('' if there is none). Returns false when it is invalid. */
  readonly read: (draft: Draft, value: string) => boolean;
  /** Values to print, none for the default; '' prints a bare name. */
  readonly print?: (options: OverlayOptions) => readonly string[];
}

type Key = keyof OverlayOptions;

/** An option with a fixed set of values. */
function choice<K extends Key>(
  name: string,
  key: K,
  values: Readonly<Record<string, OverlayOptions[K]>>,
): Row {
  return {
    name,
    value: Object.keys(values).join('|'),
    read: (draft, value) => {
      if (!Object.hasOwn(values, value)) return false;
      (draft as Mutable<OverlayOptions>)[key] = values[value]!;
      return true;
    },
    print: (options) => {
      if (options[key] === DEFAULTS[key]) return [];
      return Object.keys(values)
        .filter((text) => values[text] === options[key])
        .slice(0, 1);
    },
  };
}

/** An option without a value. */
function flag<K extends Key>(name: string, key: K, to: OverlayOptions[K]): Row {
  return {
    name,
    value: null,
    read: (draft) => {
      (draft as Mutable<OverlayOptions>)[key] = to;
      return true;
    },
    print: (options) => (options[key] === to ? [''] : []),
  };
}

/** A user or group id. */
function id(name: string, key: 'squashToUid' | 'squashToGid'): Row {
  return {
    name,
    value: 'ID',
    read: (draft, value) => {
      const number = Number(value);
      // The last id means "none" everywhere in Linux.
      if (!/^\d+$/.test(value) || number >= 0xffffffff) return false;
      draft[key] = number;
      return true;
    },
    print: (options) => (options[key] === null ? [] : [String(options[key])]),
  };
}

/** A map of ids as fuse-overlayfs takes it: `stored:shown:count`, repeated; a leading colon is allowed. */
function idMap(name: string, key: 'uidmapping' | 'gidmapping'): Row {
  return {
    name,
    value: 'STORED:SHOWN:COUNT[:...]',
    read: (draft, value) => {
      const map = /^:?((\d+:\d+:\d+)(:\d+:\d+:\d+)*):?$/.exec(value);
      if (!map) return false;
      draft[key] = map[1]!;
      return true;
    },
    print: (options) => (options[key] === null ? [] : [options[key]]),
  };
}

/** An option of fuse-overlayfs that has no effect here, or that it ignores itself. `why`: for the warning; '' for none. */
function without(name: string, value: string | null, why: string): Row {
  return {
    name,
    value,
    bare: '1',
    read: (draft) => {
      if (why !== '') draft.warnings.push(`option '${name}' has no effect: ${why}.`);
      return true;
    },
  };
}

/** A known option of which only one setting is supported. */
function only(name: string, values: string, accepted: string, why: string): Row {
  return {
    name,
    value: values,
    read: (_draft, value) => {
      if (value === accepted) return true;
      if (!values.split('|').includes(value)) return false;
      throw new UserError(`${name}=${value} is not offered: ${why}; leave it out.`);
    },
  };
}

/** A writable directory: `upperdir` or `workdir`. */
function writableDir(name: 'upperdir' | 'workdir'): Row {
  return {
    name,
    value: 'DIR',
    read: (draft, value) => {
      if (value === '') return false;
      draft[name] = absolutePath(unescapeValue(value), draft.cwd);
      return true;
    },
    print: (options) => (options[name] === null ? [] : [escapeValue(options[name])]),
  };
}

/** Appends one lower directory to those already given; here a colon is part of the name, as in the kernel. */
function appendDir(name: 'lowerdir+' | 'datadir+', key: 'lowerdir' | 'datadir'): Row {
  return {
    name,
    value: 'DIR',
    read: (draft, value) => {
      if (value === '') return false;
      if (draft.lowersClosed)
        throw new UserError(`${name}= can't follow lowerdir=; give all lowers one way.`);
      if (name === 'lowerdir+' && draft.datadir.length > 0) {
        throw new UserError("lowerdir+= can't follow datadir+=; data-only directories are the last.");
      }
      draft[key].push(absolutePath(unescapeValue(value), draft.cwd));
      return true;
    },
  };
}

const lowerdir: Row = {
  name: 'lowerdir',
  value: 'DIR[:DIR...][::DATADIR...]',
  read: (draft, value) => {
    const { lower, data } = splitLowers(value);
    draft.lowerdir = lower.map((path) => absolutePath(path, draft.cwd));
    draft.datadir = data.map((path) => absolutePath(path, draft.cwd));
    draft.lowersClosed = lower.length > 0;
    return true;
  },
  print: (options) => {
    const lower = options.lowerdir.map(escapeValue).join(':');
    const data = options.datadir.map((path) => `::${escapeValue(path)}`).join('');
    return lower + data === '' ? [] : [lower + data];
  },
};

const squashToRoot: Row = {
  name: 'squash_to_root',
  value: null,
  read: (draft) => {
    // squash_to_uid and squash_to_gid take precedence, in any order.
    draft.squashToUid ??= 0;
    draft.squashToGid ??= 0;
    return true;
  },
};

const plugins: Row = {
  name: 'plugins',
  value: 'LIST',
  read: (_draft, value) => {
    if (value !== '') throw new UserError('plugins are not offered; mount what they would bring as a layer.');
    return true;
  },
};

const onOff = { on: true, off: false };

/** The values of fsync=; see {@link fsync} for what 'volatile' implies besides. */
const fsyncChoice = choice('fsync', 'fsync', {
  auto: 'auto',
  strict: 'strict',
  volatile: 'volatile',
  '0': 'volatile',
  '1': 'auto',
});

/** The kernel's `fsync=volatile` equals `volatile`, including the mark in the workdir; fuse-overlayfs's `fsync=0` leaves no mark. */
const fsync: Row = {
  ...fsyncChoice,
  read: (draft, value) => {
    if (value === 'volatile') draft.volatile = true;
    return fsyncChoice.read(draft, value);
  },
};

/** All options, in the order in which they are printed. */
export const TABLE: readonly Row[] = [
  lowerdir,
  appendDir('lowerdir+', 'lowerdir'),
  appendDir('datadir+', 'datadir'),
  writableDir('upperdir'),
  writableDir('workdir'),
  // `off` is `follow`, as for a kernel with redirect_always_follow=Y, its default.
  choice('redirect_dir', 'redirectDir', { on: 'on', follow: 'follow', nofollow: 'nofollow', off: 'follow' }),
  choice('metacopy', 'metacopy', onOff),
  choice('index', 'index', onOff),
  choice('xino', 'xino', { on: 'on', off: 'off', auto: 'auto' }),
  choice('uuid', 'uuid', { on: 'on', off: 'off', null: 'null', auto: 'auto' }),
  flag('userxattr', 'userxattr', true),
  flag('volatile', 'volatile', true),
  only('nfs_export', 'on|off', 'off', "a FUSE mount can't be exported by persistent file handles"),
  only('verity', 'on|off|require', 'off', 'digests of data-only files are not checked'),

  fsync,
  // fuse-overlayfs.
  idMap('uidmapping', 'uidmapping'),
  idMap('gidmapping', 'gidmapping'),
  squashToRoot,
  id('squash_to_uid', 'squashToUid'),
  id('squash_to_gid', 'squashToGid'),
  choice('xattr_permissions', 'xattrPermissions', { '0': 0, '1': 1, '2': 2 }),
  flag('noacl', 'acl', false),
  { ...choice('noxattrs', 'xattrs', { '1': false, '0': true }), bare: '1' },
  flag('static_nlink', 'staticNlink', true),
  without('ino32_t', '0|1', 'inode numbers are those of the layers'),
  without('nfs_filehandles', '0|1', 'inode numbers are those of the layers'),
  without('fast_ino', '0|1', 'inode numbers are those of the layers'),
  without('fast_ino_check', '0|1', 'inode numbers are those of the layers'),
  without('threaded', '0|1', 'long work always leaves the main thread'),
  without('writeback', '0|1', 'data is written through'),
  without('timeout', 'SECONDS', 'what the kernel caches stays valid until it changes'),
  plugins,

  // Ours.
  choice('whiteout', 'whiteout', { chardev: 'chardev', xattr: 'xattr', aufs: 'aufs' }),
  choice('wh', 'whPrefix', onOff),
];
