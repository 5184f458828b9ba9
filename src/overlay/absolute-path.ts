/** Relative paths, byte for byte: Node's process.cwd() loses the bytes of a name that is not UTF-8. */
import { readlinkSync } from 'node:fs';

/** Path of the working directory; latin1, one char a byte. */
export function workingDirectory(): string {
  return readlinkSync('/proc/self/cwd', 'latin1');
}

/** `path` from the root; symlinks and `..` in it are left to the kernel. Text is latin1. */
export function absolutePath(path: string, cwd = workingDirectory()): string {
  return path.startsWith('/') ? path : `${cwd.replace(/\/$/, '')}/${path}`;
}
