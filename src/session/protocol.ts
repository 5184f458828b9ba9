/** What the main thread and the session thread tell each other. */
import type { OpenedLayers, OverlayOptions, OverlayServices } from '../overlay/config.js';
import type { FileSystem } from '../vfs/filesystem.js';
import type { LogTarget } from './log.js';

/** Makes the filesystem that a session serves; called once, on the session thread. */
export type FileSystemFactory = (opened: OpenedLayers, services: OverlayServices) => FileSystem;

/** What the session thread is started with; it loads its code and waits for {@link StartMessage}. */
export interface SessionData {
  /** URL of a module that exports a {@link FileSystemFactory} as `createOverlay`; null: the overlay. */
  readonly filesystem: string | null;
  /** Memory of the shared counters. */
  readonly counters: SharedArrayBuffer;
}

/** To the session thread, once: the mount exists, serve it. */
export interface StartMessage {
  readonly fd: number;
  readonly options: OverlayOptions;
  readonly opened: OpenedLayers;
  readonly dataMode: OverlayServices['dataMode'];
  readonly btime: boolean;
  readonly maxWrite: number;
  readonly log: LogTarget;
  /** Log each request and its answer in one line. */
  readonly trace: boolean;
}

/** Why a session ended. */
export type EndReason =
  /** Unmounted, by us or by anyone else: the ordinary end. */
  | 'unmounted'
  /** The connection was aborted (/sys/fs/fuse/connections/N/abort). */
  | 'aborted'
  /** The session could not go on; the text says why. */
  | 'failed';

export interface SessionEnd {
  readonly reason: EndReason;
  /** One sentence; empty for an ordinary end. */
  readonly text: string;
}

/** From the session thread. */
export type SessionMessage =
  /** INIT was answered: the mount works. */
  | { readonly kind: 'ready' }
  /** The filesystem could not be made; `text` is a sentence for the user or a stack. */
  | { readonly kind: 'refused'; readonly text: string; readonly isUserError: boolean }
  | { readonly kind: 'ended'; readonly end: SessionEnd };
