#!/usr/bin/env node
/**
 * Puts the compiled program into few files under dist/bundle/bin: loading some hundred small modules is a quarter of
 * the time from exec to the first answer. scripts/plyfs prefers the bundle when it is newer than dist/src; everything else
 * (tests, the API) uses dist/src. Without esbuild there is no bundle, and plyfs just starts more slowly.
 */
import { rmSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const outdir = `${root}dist/bundle/bin`;

/** esbuild, or null where it is not installed. */
async function findBundler() {
  try {
    return await import('esbuild');
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    return null;
  }
}

const bundler = await findBundler();
rmSync(outdir, { recursive: true, force: true });
if (bundler === null) {
  console.log('bundle: esbuild is not installed; none made');
} else {
  await bundler.build({
    // The files that are started by name: paths between them (new URL('./worker.js', ...)) stay true in one folder.
    entryPoints: [
      'cli/main',
      'session/worker',
      'session/helper',
      'session/native-main',
      'session/native-watch',
    ].map((name) => `${root}dist/src/${name}.js`),
    entryNames: '[name]',
    outdir,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'node',
    target: 'node20',
    external: ['koffi', 'pino', 'yargs', 'fuse-native', 'tar-stream', 'fzstd', 'diff'],
    logLevel: 'warning',
  });
}
