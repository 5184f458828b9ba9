/** The last step into the background. */
import { inheritedDescriptors } from '../session/inherited.js';
import { close, dup2, setsid } from '../sys/index.js';
import type { ReadyPipe } from './daemon.js';

/**
 * Leaves the caller's terminal, directory and descriptors, except for `ready`; the standard streams become `devNull`. A pipe
 * left open here would keep its reader waiting: `$(plyfs ...)` would never return.
 */
export function daemonize(ready: ReadyPipe, devNull: number): void {
  setsid(); // EPERM: we lead a session already
  process.chdir('/'); // a session on this thread has done so already, one in another process has not
  for (const fd of inheritedDescriptors()) {
    if (fd !== ready.fd) close(fd);
  }
  for (const fd of [0, 1, 2]) dup2(devNull, fd);
  close(devNull);
}
