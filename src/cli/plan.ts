/** From option words to a checked plan of a mount. */
import { existsSync } from 'node:fs';
import type { MountPlan } from '../mount.js';
import type { OverlayOptions } from '../overlay/config.js';
import { openLayers } from '../overlay/layers.js';
import type { LogTarget } from '../session/log.js';
import { type OptionWord, parseMountOptions } from '../session/mount-options.js';

/** What a command line says about a mount, before any check; text is latin1. */
export interface MountWords {
  /** Option strings, comma-separated words, in order. */
  readonly options: readonly string[];
  readonly source: string | null;
  readonly mountpoint: string;
  readonly debug: boolean;
}

// INTERIM until options.ts lands.
function interim(options: readonly string[]): { overlay: OverlayOptions; rest: OptionWord[] } {
  const all = options.flatMap((o) => o.split(','));
  const rest: OptionWord[] = [];
  const known: Record<string, string> = {};
  for (const word of all.filter((w) => w !== '')) {
    const at = word.indexOf('=');
    const key = at < 0 ? word : word.slice(0, at);
    const value = at < 0 ? null : word.slice(at + 1);
    if (['lowerdir', 'upperdir', 'workdir'].includes(key) && value !== null) known[key] = value;
    else rest.push({ key, value });
  }
  const overlay = {
    lowerdir: known['lowerdir']?.split(':') ?? [],
    datadir: [],
    upperdir: known['upperdir'] ?? null,
    workdir: known['workdir'] ?? null,
    readOnly: rest.some((w) => w.key === 'ro'),
    redirectDir: 'nofollow',
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
    whPrefix: false,
    uidmapping: null,
    gidmapping: null,
    squashToUid: null,
    squashToGid: null,
    xattrPermissions: 0,
  } as OverlayOptions;
  return { overlay, rest };
}

/** Checks all words. Throws a sentence. */
export function planMount(words: MountWords, log: LogTarget): MountPlan {
  const { overlay, rest } = interim(words.options);
  const kernel = parseMountOptions(rest, existsSync('/sys/fs/selinux/enforce'));
  kernel.source ??= words.source;
  return {
    mountpoint: words.mountpoint,
    overlay,
    kernel,
    log,
    trace: words.debug || kernel.debug,
    openLayers,
  };
}
