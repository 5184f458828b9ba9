#!/usr/bin/env node
/**
 * Bundles the compiled program into a few files under dist/bundle/bin, each with V8's code cache beside it: finding, reading and
 * compiling some hundred small modules takes half of the time between exec and the first answer. scripts/plyfs prefers
 * the bundle when it is newer than dist/src; everything else (tests, the API) uses dist/src. Without esbuild there is no
 * bundle, and plyfs only starts more slowly; V8 ignores a cache that was made by another version of Node.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

const root = fileURLToPath(new URL('../', import.meta.url));
const outdir = `${root}dist/bundle/bin`;

/** The files that are started by name: paths between them (new URL('./helper.js', ...)) stay valid in one folder. */
const ENTRIES = {
  main: 'cli/bundled',
  'thread-main': 'session/thread-main',
  helper: 'session/helper',
  'native-main': 'session/native-main',
  'native-watch': 'session/native-watch',
};

/** esbuild, or null where it is not installed. */
async function findBundler() {
  try {
    return await import('esbuild');
  } catch (error) {
    if (error.code !== 'ERR_MODULE_NOT_FOUND') throw error;
    return null;
  }
}

/** Loads NAME.code.js with its cache. The code is wrapped in a function that passes it the variables of a module. */
const loader = (name) => `'use strict';
const { existsSync, readFileSync } = require('node:fs');
const { Script } = require('node:vm');
const filename = \`\${__dirname}/${name}.code.js\`;
const cache = \`\${filename}.cache\`;
const script = new Script(readFileSync(filename, 'utf8'), {
  filename,
  cachedData: existsSync(cache) ? readFileSync(cache) : undefined,
});
const here = require('node:url').pathToFileURL(__filename).href;
script.runInThisContext()(exports, require, module, here, (specifier) => import(specifier));
module.exports.script = script;
`;

async function bundle(bundler) {
  const { outputFiles } = await bundler.build({
    entryPoints: Object.entries(ENTRIES).map(([out, from]) => ({ out, in: `${root}dist/src/${from}.js` })),
    entryNames: '[name].code',
    outdir,
    bundle: true,
    // Scripts: modules can't be loaded from a code cache, and starting the module loader costs as much again.
    format: 'cjs',
    banner: { js: '(function (exports, require, module, bundleUrl, bundleImport) {' },
    footer: { js: '})' },
    define: { 'import.meta.url': 'bundleUrl' },
    platform: 'node',
    target: 'node20',
    minifyWhitespace: true,
    minifySyntax: true,
    external: ['koffi', 'pino', 'yargs', 'fuse-native', 'tar-stream', 'fzstd', 'diff'],
    logLevel: 'warning',
    write: false,
  });
  mkdirSync(outdir, { recursive: true });
  // A script from a code cache can't load modules (ERR_VM_DYNAMIC_IMPORT_CALLBACK_MISSING).
  for (const { path, text } of outputFiles) writeFileSync(path, text.replace(/\bimport\(/g, 'bundleImport('));
  writeFileSync(`${outdir}/package.json`, '{ "type": "commonjs" }\n');
  for (const name of Object.keys(ENTRIES)) {
    writeFileSync(`${outdir}/${name}.js`, loader(name));
  }
}

/**
 * A cache contains the functions that are compiled when it is made: so main refuses a mount and then serves one as a
 * rehearsal, and the session thread of the API loads what it needs.
 */
function makeCaches() {
  const load = (name) => `
    const { writeFileSync } = require('node:fs');
    const save = () => writeFileSync('${outdir}/${name}.code.js.cache', script.createCachedData(), { mode: 0o644 });
    const { script, loadParts } = require('${outdir}/${name}.js');`;
  const main = `const { exit } = process;
    const { rehearse } = require('${root}scripts/rehearsal.cjs');
    process.exit = () => {
      process.exit = () => {};
      rehearse(loadParts).catch((error) => console.error(error)).finally(() => { save(); exit(0); });
    };
    ${load('main')}`;
  const session = `${load('thread-main')} setImmediate(() => { save(); process.exit(); });`;
  const thread = `const workerData = { filesystem: null, counters: new SharedArrayBuffer(65536) };
    new (require('node:worker_threads').Worker)(${JSON.stringify(session)}, { eval: true, workerData });`;
  // The first argument takes the place of the script's name, which -e does not have.
  run(main, ['plyfs', '-f', '-o', 'lowerdir=/:/nonexistent', '/']);
  run(thread, []);
}

/** Runs a script in a Node process of its own. */
function run(script, args) {
  const { status, stderr } = spawnSync(process.execPath, ['-e', script, '--', ...args], {
    encoding: 'utf8',
  });
  // On a machine that can't run it (for example, without a koffi binary): no cache, or a partial one, and no harm.
  const complaint = stderr.replace(/^plyfs: .*nonexistent.*\n/, '');
  if (status !== 0 || complaint !== '') console.log(`bundle: no full code cache: ${complaint}`);
}

const bundler = await findBundler();
rmSync(outdir, { recursive: true, force: true });
if (bundler === null) {
  console.log('bundle: esbuild is not installed; none made');
} else {
  await bundle(bundler);
  makeCaches();
}
