/** The parts of a session, on any thread: the filesystem, the protocol server, and the loop between them. */
import { invalInode } from '../fuse/notify.js';
import { Server } from '../fuse/server.js';
import * as sys from '../sys/index.js';
import type { FileSystem } from '../vfs/filesystem.js';
import type { Log } from '../vfs/log.js';
import type { Notifier } from '../vfs/notify.js';
import type { Counters } from './counters.js';
import { Device } from './device.js';
import { HelperJobs } from './jobs.js';
import { openLog, stackOf, writeLine } from './log.js';
import { type Events, SessionLoop } from './loop.js';
import type { FileSystemFactory, SessionEnd, StartMessage } from './protocol.js';

/** What the thread that runs a session provides. */
export interface Host {
  readonly createOverlay: FileSystemFactory;
  readonly counters: Counters;
  /** The thread's event loop, which needs its turns; {@link NO_EVENTS}: it is never needed. */
  readonly events: Events;
  /** Called once, when INIT was answered. */
  readonly onReady: () => void;
}

/**
 * Nice value of V8's threads, which compile and collect garbage. On few CPUs they would otherwise preempt the caller that was
 * just answered (native-notes/threads.md). Not higher: a collection waits for what they have begun.
 */
const BACKGROUND_NICE = 10;

/** Gives this thread its own umask, working directory and capabilities. */
function becomeSessionThread(log: Log): void {
  const unshared = sys.unshareFs();
  if (unshared < 0) log.warn({ errno: sys.errnoName(unshared) }, 'no umask of our own');
  else sys.umask(0);
  const kept = sys.keepCapabilities();
  if (kept < 0) log.debug({ errno: sys.errnoName(kept) }, 'capabilities follow the filesystem uid');
}

/** The kernel may have forgotten the node in the meantime and answer ENOENT; then there is nothing to invalidate. */
function notifier(device: Device): Notifier {
  const send = (message: Buffer): void => void device.write(message, message.length);
  return {
    attributes: (node) => send(invalInode(node)),
    listing: (node) => send(invalInode(node, { offset: 0, length: 0 })),
  };
}

/** How often in a row the loop may fail because of a bug. */
const MAX_FAILURES = 100;
const STUCK: SessionEnd = {
  reason: 'failed',
  text: 'The session failed by a bug, again and again: see the log.',
};

/** One mount being served. */
export class Serving {
  readonly #log: Log;
  readonly #jobs: HelperJobs;
  readonly #fs: FileSystem;
  readonly #loop: SessionLoop;
  readonly #counters: Counters;
  #failures = 0;
  #servedAtFailure = -1;

  /** Makes the filesystem, and throws what that throws. */
  constructor(start: StartMessage, host: Host) {
    const log = openLog(start.log);
    becomeSessionThread(log);
    sys.niceOtherThreads(BACKGROUND_NICE);
    const { counters } = host;
    this.#counters = counters;
    const jobs = new HelperJobs(counters, log);
    const device = new Device(start.fd);
    try {
      this.#fs = host.createOverlay(start.opened, {
        jobs,
        notify: notifier(device),
        log,
        dataMode: start.dataMode,
        copiedUp: (bytes) => counters.copiedUp(bytes),
        cacheCounts: counters.caches,
      });
    } catch (error) {
      jobs.close();
      throw error;
    }
    const handler = new Server(this.#fs, {
      log,
      dataMode: start.dataMode,
      btime: start.btime,
      acl: start.options.acl,
      xattrs: start.options.xattrs,
      readOnly: start.options.readOnly,
      onBackingOpen: (fd) => device.openBacking(fd),
      onBackingClose: (id) => device.closeBacking(id),
      ...(start.trace && start.log.fd >= 0 ? { trace: (line) => writeLine(start.log.fd, line) } : {}),
    });
    this.#log = log;
    this.#jobs = jobs;
    const { events, onReady } = host;
    const { awakeFd, hasTwoCpus } = start;
    this.#loop = new SessionLoop({
      device,
      handler,
      jobs,
      counters,
      log,
      awakeFd,
      hasTwoCpus,
      events,
      onReady,
    });
  }

  /**
   * Serves until the mount ends, or (null) until the event loop needs a turn. A bug outside any request is logged and the
   * mount stays up, unless it recurs again and again with nothing served in between.
   */
  run(): SessionEnd | null {
    let end: SessionEnd | null = null;
    try {
      end = this.#loop.run();
    } catch (error) {
      this.#bug(error);
      end = this.#isStuck() ? STUCK : null;
    }
    this.#surviving(() => (end === null ? this.#fs.rest() : this.#close(end)));
    return end;
  }

  #close(end: SessionEnd): void {
    this.#log.debug({ ...end }, 'the session ended');
    this.#fs.destroy();
    this.#jobs.close();
  }

  #surviving(step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#bug(error);
    }
  }

  #bug(error: unknown): void {
    this.#counters.bug();
    this.#log.error({ stack: stackOf(error) }, 'a bug in the session');
  }

  /** Whether the loop has failed too often without having served anything. */
  #isStuck(): boolean {
    const { served } = this.#loop;
    this.#failures = served === this.#servedAtFailure ? this.#failures + 1 : 1;
    this.#servedAtFailure = served;
    return this.#failures > MAX_FAILURES;
  }
}
