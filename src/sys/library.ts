/** Shared libraries that native code of others needs. */
import { native } from './ffi.js';

const dlopenCall = native('int64', 'dlopen', ['void *', 'int']);

const RTLD_NOW = 2;
const RTLD_GLOBAL = 0x100;

/** Loads a library (a path or a soname) for all that come after it. Returns whether that worked. */
export function loadLibrary(library: string): boolean {
  return dlopenCall(Buffer.from(`${library}\0`), RTLD_NOW | RTLD_GLOBAL) !== 0;
}
