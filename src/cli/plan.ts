/** From option words to a checked plan of a mount. */
import { existsSync } from 'node:fs';
import type { MountPlan } from '../mount.js';
import { openLayers } from '../overlay/layers.js';
import { splitOptions } from '../overlay/option-text.js';
import { parseOptions } from '../overlay/options.js';
import type { LogTarget } from '../session/log.js';
import { parseMountOptions } from '../session/mount-options.js';

/** What a command line says about a mount, before any check; text is latin1. */
export interface MountWords {
  /** Option strings, comma-separated words, in order. */
  readonly options: readonly string[];
  readonly source: string | null;
  readonly mountpoint: string;
  readonly debug: boolean;
}

/** Checks all words. Throws a sentence. */
export function planMount(words: MountWords, log: LogTarget): MountPlan {
  const { overlay, rest } = parseOptions(words.options);
  const words2 = rest.flatMap((text) => splitOptions(text)).map(({ name, value }) => ({ key: name, value }));
  const kernel = parseMountOptions(words2, existsSync('/sys/fs/selinux/enforce'));
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
