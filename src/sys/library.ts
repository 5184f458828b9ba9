/** Loading shared libraries that third-party native code needs. */
import { native } from './ffi.js';

const dlopenCall = native('int64', 'dlopen', ['void *', 'int']);

const RTLD_NOW = 2;
const RTLD_GLOBAL = 0x100;

/** Loads a library (a path or a soname), visible to all that are loaded later. Returns whether that succeeded. */
export function loadLibrary(library: string): boolean {
  return dlopenCall(Buffer.from(`${library}\0`), RTLD_NOW | RTLD_GLOBAL) !== 0;
}
