/** Entry of the session thread: load, wait for the mount, serve it, report how it ended. */
import { parentPort, workerData } from 'node:worker_threads';
import { invalInode } from '../fuse/notify.js';
import { Server } from '../fuse/server.js';
import { UserError } from '../overlay/user-error.js';
import * as sys from '../sys/index.js';
import type { FileSystem } from '../vfs/filesystem.js';
import type { Log } from '../vfs/log.js';
import type { Notifier } from '../vfs/notify.js';
import { Counters } from './counters.js';
import { Device } from './device.js';
import { HelperJobs } from './jobs.js';
import { openLog, writeLine } from './log.js';
import { SessionLoop } from './loop.js';
import type { FileSystemFactory, SessionData, SessionMessage, StartMessage } from './protocol.js';

const data = workerData as SessionData;
const port = parentPort!;

function tell(message: SessionMessage): void {
  port.postMessage(message);
}

/**
 * Of V8's threads, which compile and collect garbage. With few CPUs they would else run in place of the caller that was
 * just answered (native-notes/threads.md). No lower: a collection waits for what they have begun.
 */
const BACKGROUND_NICE = 10;

/** Gives this thread a umask, a working directory and capabilities of its own. */
function becomeSessionThread(log: Log): void {
  const unshared = sys.unshareFs();
  if (unshared < 0) log.warn({ errno: sys.errnoName(unshared) }, 'no umask of our own');
  else sys.umask(0);
  const kept = sys.keepCapabilities();
  if (kept < 0) log.debug({ errno: sys.errnoName(kept) }, 'capabilities follow the filesystem uid');
}

interface Parts {
  readonly device: Device;
  readonly fs: FileSystem;
  readonly jobs: HelperJobs;
  readonly log: Log;
}

/** The kernel may have forgotten the node meanwhile, which answers ENOENT: nothing is left to drop then. */
function notifier(device: Device): Notifier {
  const send = (message: Buffer): void => void device.write(message, message.length);
  return {
    attributes: (node) => send(invalInode(node)),
    listing: (node) => send(invalInode(node, { offset: 0, length: 0 })),
  };
}

function serve(start: StartMessage, { device, fs, jobs, log }: Parts): void {
  const counters = new Counters(data.counters);
  const handler = new Server(fs, {
    log,
    dataMode: start.dataMode,
    btime: start.btime,
    maxWrite: start.maxWrite,
    acl: start.options.acl,
    xattrs: start.options.xattrs,
    readOnly: start.options.readOnly,
    onBackingOpen: (fd) => device.openBacking(fd),
    onBackingClose: (id) => device.closeBacking(id),
    ...(start.trace && start.log.fd >= 0 ? { trace: (line) => writeLine(start.log.fd, line) } : {}),
  });
  const loop = new SessionLoop({
    device,
    handler,
    jobs,
    counters,
    log,
    maxWrite: start.maxWrite,
    onReady: () => tell({ kind: 'ready' }),
  });
  const end = loop.run();
  log.debug({ ...end }, 'the session ended');
  fs.destroy();
  tell({ kind: 'ended', end });
}

function refuse(error: unknown): void {
  const isUserError = error instanceof UserError;
  const text = isUserError
    ? error.message
    : error instanceof Error
      ? (error.stack ?? error.message)
      : String(error);
  tell({ kind: 'refused', text, isUserError });
}

/** Loaded before it is needed; a literal path for the overlay, so that a bundler sees it. */
const loading: Promise<{ createOverlay: FileSystemFactory }> =
  data.filesystem === null ? import('../overlay/overlay.js') : import(data.filesystem);

port.once('message', async (start: StartMessage | null) => {
  if (start === null) process.exit();
  const { createOverlay } = await loading;
  const log = openLog(start.log);
  becomeSessionThread(log);
  sys.niceOtherThreads(BACKGROUND_NICE);
  const counters = new Counters(data.counters);
  const jobs = new HelperJobs(counters);
  const copiedUp = (bytes: number): void => counters.copiedUp(bytes);
  try {
    const device = new Device(start.fd);
    const notify = notifier(device);
    const services = { jobs, notify, log, dataMode: start.dataMode, copiedUp, cacheCounts: counters.caches };
    const fs = createOverlay(start.opened, services);
    serve(start, { device, fs, jobs, log });
  } catch (error) {
    refuse(error);
  }
  jobs.close();
  // Ends this thread only, here where no native call is under way.
  process.exit();
});
