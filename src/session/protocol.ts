/** Messages between the main thread and the session thread, and what both know of a session. */
import type { OpenedLayers, OverlayOptions, OverlayServices } from '../overlay/config.js';
import type { FileSystem } from '../vfs/filesystem.js';
import type { DataMode } from '../vfs/types.js';
import type { Stats } from './counters.js';
import type { LogTarget } from './log.js';
import type { Refusal } from './refusal.js';

/** Makes the filesystem that a session serves; called once, on the session thread. */
export type FileSystemFactory = (opened: OpenedLayers, services: OverlayServices) => FileSystem;

/** What the session thread is started with. It loads its code and waits for a {@link StartMessage}. */
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
  readonly dataMode: DataMode;
  readonly btime: boolean;
  /** From openKeepAwake(). */
  readonly awakeFd: number;
  /** The caller has a CPU besides ours. */
  readonly hasTwoCpus: boolean;
  readonly log: LogTarget;
  /** Log each request and its answer in one line. */
  readonly trace: boolean;
}

/** Why a session ended. */
export type EndReason =
  /** Unmounted, by us or anyone else: the normal end. */
  | 'unmounted'
  /** The connection was aborted (/sys/fs/fuse/connections/N/abort). */
  | 'aborted'
  /** The session could not continue; the text says why. */
  | 'failed';

/** How a session ended. */
export interface SessionEnd {
  readonly reason: EndReason;
  /** One sentence; empty for a normal end. */
  readonly text: string;
}

/** One mount being served, as the main thread sees it. */
export interface MountSession {
  /** Resolves once INIT is answered; rejects if the session ends before that. */
  readonly ready: Promise<void>;
  /** Resolves when the session has ended, for any reason. */
  readonly closed: Promise<SessionEnd>;
  /** Serves the mount. May be called once. */
  start(message: StartMessage): void;
  /** Ends a session that was never started, and waits for its end. */
  discard(): Promise<void>;
  stats(): Stats;
}

/** From the session thread. */
export type SessionMessage =
  /** INIT was answered: the mount works. */
  | { readonly kind: 'ready' }
  /** The filesystem could not be made. */
  | ({ readonly kind: 'refused' } & Refusal)
  | { readonly kind: 'ended'; readonly end: SessionEnd };
