/** Descriptors that a process was started with. */
import { readdirSync } from 'node:fs';
import { closesOnExec } from '../sys/index.js';

/** Descriptors beyond stderr that came from the caller: all that this process opens itself are close-on-exec. */
export function inheritedDescriptors(): number[] {
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter((fd) => fd > 2 && closesOnExec(fd) === 0); // -EBADF: the descriptor of that listing itself
}
