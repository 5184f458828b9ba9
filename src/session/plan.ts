/** From option words to a checked plan of a mount. */
import { existsSync } from 'node:fs';
import type { OpenedLayers, OverlayOptions } from '../overlay/config.js';
import { mayUseTrusted, openLayers } from '../overlay/layers.js';
import { splitOptions } from '../overlay/option-text.js';
import { parseOptions } from '../overlay/options.js';
import * as sys from '../sys/index.js';
import type { LogTarget } from './log.js';
import { type KernelOptions, parseMountOptions } from './mount-options.js';

/** Everything that a mount needs, checked; text is latin1, one char a byte. */
export interface MountPlan {
  readonly mountpoint: string;
  readonly overlay: OverlayOptions;
  readonly kernel: KernelOptions;
  readonly log: LogTarget;
  /** Log each request. */
  readonly trace: boolean;
  /** Opens the layers that `overlay` names. Throws a UserError. */
  readonly openLayers: (options: OverlayOptions) => OpenedLayers;
}

/** A mount request before any check; text is latin1, one char a byte. */
export interface MountWords {
  /** Option strings, comma-separated words, in order. */
  readonly options: readonly string[];
  readonly source: string | null;
  readonly mountpoint: string;
  readonly debug: boolean;
}

/** Access time settings for mount_setattr(2) that correspond to MS_* flags of mount(2). */
function accessTimes(flags: number): number {
  const directories = (flags & sys.MS_NODIRATIME) !== 0 ? sys.MOUNT_ATTR_NODIRATIME : 0;
  if ((flags & sys.MS_STRICTATIME) !== 0) return directories | sys.MOUNT_ATTR_STRICTATIME;
  return directories | ((flags & sys.MS_NOATIME) !== 0 ? sys.MOUNT_ATTR_NOATIME : 0);
}

/** Checks all words; directories are not touched. Throws a UserError. */
export function planMount(words: MountWords, log: LogTarget): MountPlan {
  const { overlay, rest, warnings } = parseOptions(words.options);
  const others = rest.flatMap((text) => splitOptions(text)).map(({ name, value }) => ({ key: name, value }));
  const kernel = parseMountOptions(others, existsSync('/sys/fs/selinux/enforce'));
  kernel.warnings.unshift(...warnings);
  kernel.source ??= words.source;
  if (kernel.data === 'passthrough' && !mayUseTrusted())
    kernel.warnings.push(
      'data=passthrough has no effect: it needs CAP_SYS_ADMIN outside of any user namespace; files are cached.',
    );
  return {
    mountpoint: words.mountpoint,
    overlay: { ...overlay, accessTimes: accessTimes(kernel.flags) },
    kernel,
    log,
    trace: words.debug || kernel.debug,
    openLayers,
  };
}
