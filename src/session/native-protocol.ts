/** Messages between the parent process and the process that serves a fuse-native mount. */
import type { OverlayOptions } from '../overlay/config.js';
import type { Stats } from './counters.js';
import type { LogTarget } from './log.js';
import type { SessionEnd } from './protocol.js';
import type { Refusal } from './refusal.js';

/** To the serving process, once. Text is latin1, one char a byte. */
export interface NativeStart {
  readonly target: string;
  readonly overlay: OverlayOptions;
  readonly source: string;
  readonly allowOther: boolean;
  /** Mount words that libfuse knows. */
  readonly flags: readonly string[];
  readonly maxRead: number | null;
  /** Its descriptor is one of the serving process. */
  readonly log: LogTarget;
  readonly trace: boolean;
}

/** From the serving process. */
export type NativeMessage =
  /** INIT was answered: the mount works. */
  | { readonly kind: 'ready'; readonly warnings: readonly string[] }
  | ({ readonly kind: 'refused' } & Refusal)
  | { readonly kind: 'stats'; readonly stats: Stats }
  | { readonly kind: 'ended'; readonly end: SessionEnd };
