/** Loading the optional npm package fuse-native, whose addon needs libfuse.so.2. */
import { createRequire } from 'node:module';
import { dirname } from 'node:path';
import type Fuse from 'fuse-native';
import { isSystemError } from '../sys/errno.js';

export type FuseClass = typeof Fuse;

/** Loads a shared library for all that follow, as dlopen(3) with RTLD_GLOBAL. Returns whether that succeeded. */
export type Preload = (library: string) => boolean;

function whatFailed(error: unknown): string {
  return error instanceof Error ? error.message.split('\n')[0]! : String(error);
}

/** Path of fuse-native's own copy of libfuse; null on platforms for which it has none. */
function bundledLibrary(packageFile: string): string | null {
  try {
    const { lib } = createRequire(packageFile)('fuse-shared-library') as { lib?: unknown };
    return typeof lib === 'string' ? lib : null;
  } catch (error) {
    if (error instanceof Error) return null;
    throw error;
  }
}

/**
 * fuse-native's class, or a sentence that says why it can't be loaded. Its addon names libfuse.so.2 without a path: the
 * system's copy is used if there is one, else the one that comes with the package.
 */
export async function loadFuse(preload: Preload): Promise<FuseClass | string> {
  let packageFile: string;
  try {
    packageFile = createRequire(import.meta.url).resolve('fuse-native/package.json');
  } catch (error) {
    if (!isSystemError(error)) throw error;
    return "the transport fuse-native needs the npm package fuse-native: 'npm install fuse-native', or use the transport kernel.";
  }
  if (!preload('libfuse.so.2')) {
    const bundled = bundledLibrary(packageFile);
    if (bundled === null || !preload(bundled)) {
      return `the transport fuse-native needs libfuse.so.2 (the package libfuse2 or fuse-libs): ${dirname(packageFile)} has none for this machine.`;
    }
  }
  try {
    const { default: loaded } = await import('fuse-native');
    return checked(loaded);
  } catch (error) {
    return `the npm package fuse-native can't be loaded here (${whatFailed(error)}); use the transport kernel.`;
  }
}

/** We rely on internals of fuse-native, which have not changed since its last release. */
function checked(loaded: FuseClass): FuseClass | string {
  const known = ['_fuseOptions', '_op_getattr', '_op_readdir', '_makeHandlerArray'];
  if (known.every((name) => name in loaded.prototype)) return loaded;
  return 'this version of the npm package fuse-native is not supported: 2.2.6 is.';
}
