/** The command line as bytes. */
import { readFileSync } from 'node:fs';

/**
 * This process's arguments as latin1 strings, one char a byte: file names are bytes, and Node's own `process.argv` has lost
 * those that are not UTF-8.
 */
export function argumentBytes(): string[] {
  const count = process.argv.length - 2;
  const all = readFileSync('/proc/self/cmdline', 'latin1').split('\0').slice(0, -1);
  return count <= 0 ? [] : all.slice(-count);
}
