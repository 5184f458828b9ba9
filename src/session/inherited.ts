/** Descriptors that this process inherited. */
import { readdirSync } from 'node:fs';
import { closesOnExec } from '../sys/index.js';

/** Inherited descriptors beyond stderr; everything that this process opens itself is close-on-exec. */
export function inheritedDescriptors(): number[] {
  return readdirSync('/proc/self/fd')
    .map(Number)
    .filter((fd) => fd > 2 && closesOnExec(fd) === 0); // -EBADF: the descriptor of that listing itself
}
