/** The last step into the background. */
import { inheritedDescriptors } from '../session/inherited.js';
import { close, dup2, setsid } from '../sys/index.js';
import type { Caller } from './daemon.js';

/**
 * Leaves the caller's terminal, directory and descriptors for `nowhere`, a descriptor of /dev/null. A pipe that stayed open
 * here would keep its reader waiting: `$(plyfs ...)` would never return.
 */
export function leaveCaller(caller: Caller, nowhere: number): void {
  setsid(); // EPERM: we lead a session already
  process.chdir('/'); // for a mount that another process serves; a session on this thread has done it
  for (const fd of inheritedDescriptors()) {
    if (fd !== caller.fd) close(fd);
  }
  for (const fd of [0, 1, 2]) dup2(nowhere, fd);
  close(nowhere);
}
