/**
 * Entry of the process that serves one fuse-native mount: open the layers, mount, serve, report how it ended.
 *
 * Concurrency: everything runs on this process's main thread, to whose event loop fuse-native is bound. A request is
 * served in one turn of the loop, without an await, so the core still handles one request at a time. Jobs run on helper
 * threads as in a kernel session; a request that waits for one is served again when the job is done.
 *
 * It is a separate process so that the caller's main thread may use the mount, keeps its own umask and filesystem uid, and
 * survives a crash of libfuse.
 */
import { readdirSync, readlinkSync } from 'node:fs';
import { Worker } from 'node:worker_threads';
import { Channel, loadFuse, MAX_TEXT, optionText, PathFiles } from '../fuse-native/index.js';
import type { OpenedLayers } from '../overlay/config.js';
import { closeLayers, openLayers } from '../overlay/layers.js';
import { createOverlay } from '../overlay/overlay.js';
import { UserError } from '../overlay/user-error.js';
import * as sys from '../sys/index.js';
import type { FileSystem } from '../vfs/filesystem.js';
import type { Log } from '../vfs/log.js';
import type { Notifier } from '../vfs/notify.js';
import { attachedAt, detach } from './attach.js';
import { Counters } from './counters.js';
import { inheritedDescriptors } from './inherited.js';
import { HelperJobs } from './jobs.js';
import { type LogTarget, openLog, writeLine } from './log.js';
import type { NativeMessage, NativeStart } from './native-protocol.js';
import type { WatchData, WatchMessage } from './native-watch.js';
import type { SessionEnd } from './protocol.js';
import { refusalOf } from './refusal.js';

const STATS_EVERY_MS = 250;
const JOBS_POLL_MS = 10;

function tell(message: NativeMessage): Promise<void> {
  return new Promise((resolve) => {
    // The parent may be gone.
    if (process.connected) process.send!(message, () => resolve());
    else resolve();
  });
}

/** The kernel caches no attributes and no listings of this mount, so there is nothing to invalidate. */
const NO_NOTIFIER: Notifier = { attributes: () => {}, listing: () => {} };

function traceTo(target: LogTarget): (name: string, args: readonly unknown[], result: number) => void {
  return (name, args, result) => {
    const words = args.filter((arg) => !(arg instanceof Uint8Array)).map((arg) => JSON.stringify(arg));
    writeLine(target.fd, `${name} ${words.join(' ')} = ${result < 0 ? sys.errnoName(result) : result}`);
  };
}

/** libfuse refuses a mount point that is not empty, unless told otherwise. */
function isEmpty(directory: Buffer): boolean {
  return readdirSync(directory).length === 0;
}

/** The mount point as text for fuse-native. Throws a UserError when it can't be passed on. */
function mountpointText(target: string): string {
  const bytes = Buffer.from(target, 'latin1');
  const text = bytes.toString('utf8');
  if (!Buffer.from(text, 'utf8').equals(bytes)) {
    throw new UserError("the transport fuse-native can't mount where the path is not UTF-8.");
  }
  if (bytes.length >= MAX_TEXT) {
    throw new UserError(`the transport fuse-native takes mount points of less than ${MAX_TEXT} bytes.`);
  }
  if (sys.mountAt(target) !== null) {
    throw new UserError("the transport fuse-native can't mount over another mount.");
  }
  return text;
}

/** Our own descriptor of the connection: libfuse closes its, whose number may then be reused for another file. */
function deviceFd(): number {
  const found = readdirSync('/proc/self/fd').filter((fd) => {
    try {
      return readlinkSync(`/proc/self/fd/${fd}`) === '/dev/fuse';
    } catch (error) {
      if (sys.isSystemError(error)) return false; // closed in the meantime
      throw error;
    }
  });
  return sys.dup(Number(found[0] ?? -1));
}

/** One mount being served through fuse-native. */
class NativeServing {
  readonly #start: NativeStart;
  readonly #log: Log;
  readonly #counters = new Counters();
  readonly #jobs: HelperJobs;
  readonly #fs: FileSystem;
  readonly #files: PathFiles;
  readonly #opened: OpenedLayers;
  readonly #channel: Channel;
  #ended = false;

  constructor(start: NativeStart, opened: OpenedLayers, log: Log) {
    this.#start = start;
    this.#opened = opened;
    this.#log = log;
    this.#jobs = new HelperJobs(this.#counters, this.#log);
    this.#fs = createOverlay(opened, {
      jobs: this.#jobs,
      notify: NO_NOTIFIER,
      log,
      dataMode: 'cached',
      copiedUp: (bytes) => this.#counters.copiedUp(bytes),
      cacheCounts: this.#counters.caches,
    });
    this.#files = new PathFiles(this.#fs, start.allowOther);
    const counters = this.#counters;
    this.#channel = new Channel({
      mountpoint: mountpointText(start.target),
      options: this.#optionText(),
      files: this.#files,
      log,
      events: {
        request: (opcode) => counters.request(opcode, 0),
        took: (opcode, milliseconds) => counters.took(opcode, milliseconds),
        answered: start.trace && start.log.fd >= 0 ? traceTo(start.log) : null,
        parked: () => counters.parked(),
        bug: () => counters.bug(),
      },
    });
  }

  #optionText(): string {
    const { source, allowOther, flags, maxRead, target } = this.#start;
    const text = optionText({
      source: Buffer.from(source, 'latin1').toString('utf8'),
      allowOther,
      flags,
      maxRead,
      nonEmpty: !isEmpty(Buffer.from(target, 'latin1')),
      privileged: process.geteuid!() === 0,
    });
    if (Buffer.byteLength(text) >= MAX_TEXT)
      throw new UserError('the mount options are too long for fuse-native.');
    return text;
  }

  async mount(): Promise<void> {
    const Fuse = await loadFuse(sys.loadLibrary);
    if (typeof Fuse === 'string') throw new UserError(Fuse);
    try {
      await this.#channel.mount(Fuse);
    } catch (error) {
      const why = error instanceof Error ? error.message : String(error);
      throw new UserError(`libfuse can't mount at ${this.#start.target}: ${why}.`);
    }
    const device = deviceFd();
    if (device < 0) throw new UserError('the mount ended before it was ready.');
    const workerData: WatchData = { device, wake: this.#jobs.wake };
    const watch = new Worker(new URL('./native-watch.js', import.meta.url), { workerData });
    watch.on('message', (message: WatchMessage) => {
      this.#resume();
      if (message === 'over') void this.#over();
    });
    watch.on('error', (error) => this.#log.error({ stack: error.stack }, 'the watching thread failed'));
    const seen = { requests: 0 };
    setInterval(() => void this.#report(seen), STATS_EVERY_MS).unref();
  }

  async #report(seen: { requests: number }): Promise<void> {
    const stats = this.#counters.read();
    if (stats.totalRequests === seen.requests) return;
    seen.requests = stats.totalRequests;
    await tell({ kind: 'stats', stats });
  }

  #resume(): void {
    for (const job of this.#jobs.collect()) {
      this.#jobs.resumed = job;
      this.#channel.resume(job);
      this.#jobs.resumed = 0;
    }
  }

  /** Unmounts: nobody else is left to do it. */
  async abandon(): Promise<void> {
    this.#log.warn({}, 'the process that mounted is gone: unmounting');
    const mount = attachedAt(this.#start.target);
    if (mount !== null && !this.#ended) await detach(mount, true);
  }

  /** The connection has ended. Waits for jobs, whose descriptors the filesystem is about to close. */
  async #over(): Promise<void> {
    this.#ended = true;
    while (this.#jobs.outstanding > 0) {
      await new Promise((resolve) => setTimeout(resolve, JOBS_POLL_MS));
      this.#resume();
    }
    const isLeft = attachedAt(this.#start.target) !== null;
    const held = this.#files.dispose();
    if (held > 0) this.#log.warn({ held }, 'nodes were not given back');
    this.#fs.destroy();
    closeLayers(this.#opened);
    const end: SessionEnd = isLeft
      ? { reason: 'aborted', text: 'The FUSE connection was aborted.' }
      : { reason: 'unmounted', text: '' };
    await tell({ kind: 'stats', stats: this.#counters.read() });
    await tell({ kind: 'ended', end });
    sys.exitNow(0);
  }
}

async function refuse(error: unknown): Promise<void> {
  await tell({ kind: 'refused', ...refusalOf(error) });
  sys.exitNow(1);
}

/** Standard streams, the pipe to the parent, the log. */
const LAST_OWN_FD = 4;

async function begin(start: NativeStart): Promise<void> {
  // An inherited pipe left open here would keep its reader waiting.
  for (const fd of inheritedDescriptors()) if (fd > LAST_OWN_FD) sys.close(fd);
  const log = openLog(start.log);
  sys.umask(0);
  const kept = sys.keepCapabilities();
  if (kept < 0) log.debug({ errno: sys.errnoName(kept) }, 'capabilities follow the filesystem uid');
  // The kernel would not enforce them: see fuse-native/capabilities.ts.
  const opened = openLayers({ ...start.overlay, acl: false });
  const serving = new NativeServing(start, opened, log);
  await serving.mount();
  process.on('disconnect', () => void serving.abandon());
  process.chdir('/');
  await tell({ kind: 'ready', warnings: opened.warnings });
}

process.once('message', (start: NativeStart) => {
  begin(start).catch(refuse);
});
