/** A live mount, as the thread that made it sees it: statistics, unmounting, the end. */
import { setImmediate as idle } from 'node:timers/promises';
import type { OverlayOptions } from '../overlay/config.js';
import { UserError } from '../overlay/user-error.js';
import { type Attachment, detach, detachByForce, raiseReadAhead } from './attach.js';
import type { Control } from './control.js';
import type { Stats } from './counters.js';
import type { SessionEnd } from './protocol.js';

/** A live mount. */
export interface Mount {
  /** Absolute path of the mount point. */
  readonly mountpoint: string;
  /** Sentences about options without effect, and about what a layer's filesystem can't do. */
  readonly warnings: readonly string[];
  /** Resolves when the mount is ready, which it is once `mount()` has resolved. */
  readonly ready: Promise<void>;
  /** Resolves when the mount has ended, no matter who ended it. */
  readonly closed: Promise<SessionEnd>;
  /** Statistics since the start. */
  stats(): Stats;
  /**
   * Unmounts and waits for the end. `lazy`: also when busy; it then ends with the last open file, and is not waited for.
   * `force`: as root also when busy, and it ends now: who still uses it, or has it in another mount namespace, gets ENOTCONN.
   */
  unmount(how?: { lazy?: boolean; force?: boolean }): Promise<void>;
}

/** What tools are told about a mount. */
interface MountFacts {
  /** The options in force. */
  readonly options: OverlayOptions;
  /** ISO 8601. */
  readonly startedAt: string;
}

/** What {@link LiveMount} needs from a session of either transport. */
interface SessionView {
  readonly ready: Promise<unknown>;
  readonly closed: Promise<SessionEnd>;
  stats(): Stats;
}

/** The {@link Mount} of either transport. */
export class LiveMount implements Mount {
  readonly mountpoint: string;
  /** {@link mountpoint} as latin1. */
  readonly target: string;
  readonly warnings: string[] = [];
  readonly closed: Promise<SessionEnd>;
  readonly #attachment: Attachment;
  readonly #session: SessionView;
  readonly #facts: MountFacts;
  readonly #release: () => void;
  #control: Control | null = null;
  #settled: Promise<unknown> = Promise.resolve();
  #ended = false;

  /** `release` closes the layers and the connection when the mount has ended. */
  constructor(attachment: Attachment, session: SessionView, facts: MountFacts, release: () => void) {
    this.target = attachment.target;
    this.mountpoint = Buffer.from(attachment.target, 'latin1').toString('utf8');
    this.#attachment = attachment;
    this.#session = session;
    this.#facts = facts;
    this.#release = release;
    this.closed = session.closed.then((end) => this.#finish(end));
  }

  get ready(): Promise<void> {
    return this.#session.ready.then(() => {});
  }

  stats(): Stats {
    return this.#session.stats();
  }

  async unmount(how: { lazy?: boolean; force?: boolean } = {}): Promise<void> {
    if (how.force === true) {
      await detachByForce(this.#attachment);
      await this.closed;
      return;
    }
    const lazy = how.lazy === true;
    if (!lazy) await Promise.allSettled([this.#settled]);
    await detach(this.#attachment, lazy);
    if (!lazy) await this.closed;
  }

  /**
   * Starts what can wait until the mount is ready. All of it may walk through the mount and so keep it busy, which is why
   * unmount() waits for it. Its failure does not prevent unmounting.
   */
  settle(): void {
    // First let callers who wait for the mount continue.
    this.#settled = idle().then(() => Promise.all([raiseReadAhead(this.#attachment), this.#openControl()]));
  }

  /** Starts answering `plyfs stats` and the like. */
  async #openControl(): Promise<void> {
    const { openControl } = await import('./control.js');
    const control = await openControl(this.#attachment.device, {
      mountpoint: this.#attachment.target,
      ...this.#facts,
      stats: () => this.stats(),
    });
    if (this.#ended) control?.close();
    else this.#control = control;
  }

  /** Without a server the mount would answer ENOTCONN for ever: unmount it, then give up the connection. */
  async #finish(end: SessionEnd): Promise<SessionEnd> {
    if (end.reason !== 'unmounted') {
      try {
        await detach(this.#attachment, true);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
      }
    }
    this.#ended = true;
    this.#control?.close();
    this.#release();
    return end;
  }
}
