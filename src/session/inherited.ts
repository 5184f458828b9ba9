/** Descriptors that a process was started with. */
import { readdirSync, readFileSync } from 'node:fs';

/** Close-on-exec, as /proc/self/fdinfo shows it in octal. */
const CLOEXEC = 0o2000000;

/** Descriptors beyond stderr that came from the caller: all that this process opens itself are close-on-exec. */
export function inheritedDescriptors(): number[] {
  return readdirSync('/proc/self/fdinfo')
    .map(Number)
    .filter((fd) => fd > 2 && isInheritable(fd));
}

function isInheritable(fd: number): boolean {
  try {
    const flags = /^flags:\s*([0-7]+)/m.exec(readFileSync(`/proc/self/fdinfo/${fd}`, 'latin1'))?.[1] ?? '0';
    return (Number.parseInt(flags, 8) & CLOEXEC) === 0;
  } catch (error) {
    if (error instanceof Error && 'code' in error) return false; // the descriptor of that listing itself
    throw error;
  }
}
