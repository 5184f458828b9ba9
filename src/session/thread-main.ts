/** Entry of the session thread: load, wait for the mount, serve it, report how it ended. */
import { parentPort, workerData } from 'node:worker_threads';
import { Counters } from './counters.js';
import { NO_EVENTS } from './loop.js';
import type { FileSystemFactory, SessionData, SessionEnd, SessionMessage, StartMessage } from './protocol.js';
import { refusalOf } from './refusal.js';
import { Serving } from './serving.js';

const data = workerData as SessionData;
const port = parentPort!;

function tell(message: SessionMessage): void {
  port.postMessage(message);
}

/** Loaded ahead of time; the overlay by a literal path, so that a bundler sees it. */
const loading: Promise<{ createOverlay: FileSystemFactory }> =
  data.filesystem === null ? import('../overlay/overlay.js') : import(data.filesystem);

port.once('message', async (start: StartMessage | null) => {
  if (start === null) process.exit();
  const { createOverlay } = await loading;
  try {
    const serving = new Serving(start, {
      createOverlay,
      counters: new Counters(data.counters),
      events: NO_EVENTS,
      onReady: () => tell({ kind: 'ready' }),
    });
    let end: SessionEnd | null;
    // null only after a bug: there are no events.
    do end = serving.run();
    while (end === null);
    tell({ kind: 'ended', end });
  } catch (error) {
    tell({ kind: 'refused', ...refusalOf(error) });
  }
  // Ends only this thread, at a point where no native call is in progress.
  process.exit();
});
