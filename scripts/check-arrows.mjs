#!/usr/bin/env node
/**
 * Checks the rules of the tree on the text of src/: which room (a directory of src/) may import which, koffi only in
 * sys, nothing asynchronous where one thread serves requests, files of at most 500 lines.
 * Prints each violation as `file:line: sentence` and exits 1 when there is one.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const MAX_LINES = 500;

/** Room -> rooms it may import. A file directly in src/ is a room named after it. */
const MAY_IMPORT = {
  index: ['mount', 'run', 'session', 'overlay', 'vfs', 'tools'],
  cli: ['run', 'session', 'overlay', 'tools', 'vfs', 'sys'],
  mount: ['session', 'overlay', 'vfs', 'sys'],
  run: ['mount', 'overlay', 'tools', 'sys'],
  session: ['fuse', 'fuse-native', 'overlay', 'vfs', 'sys'],
  fuse: ['vfs'],
  'fuse-native': ['vfs'],
  vfs: [],
  overlay: ['vfs', 'sys'],
  tools: ['overlay', 'vfs', 'sys'],
  sys: [],
};

/** Parts of sys that are numbers and text, without a system call: every room may import them. */
const PLAIN_SYS = new Set(['sys/consts', 'sys/device-number', 'sys/errno', 'sys/timespec']);

/** Rooms that serve requests synchronously on the session thread. */
const SYNCHRONOUS = new Set(['overlay', 'fuse']);

/** The text with comments blanked out; line numbers stay. Strings are skipped so that `//` in them is no comment. */
function withoutComments(text) {
  return text.replace(/\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"/g, (piece) =>
    piece.startsWith('/') ? piece.replace(/[^\n]/g, ' ') : piece,
  );
}

function roomOf(path) {
  const slash = path.indexOf('/');
  return slash < 0 ? path.replace(/\.(d\.)?(ts|js)$/, '') : path.slice(0, slash);
}

/** Every module named by an import, export-from, import() or require(), with its offset in the text. */
function importsOf(text) {
  const found = [];
  const pattern =
    /\b(?:from|import|require)\s*\(?\s*(['"])([^'"]+)\1|(?:createRequire\([^)]*\))\((['"])([^'"]+)\3/g;
  for (const match of text.matchAll(pattern)) found.push({ module: match[2] ?? match[4], at: match.index });
  return found;
}

function lineAt(text, offset) {
  return text.slice(0, offset).split('\n').length;
}

function importProblem(file, module) {
  const room = roomOf(file);
  if (module === 'koffi') return room === 'sys' ? null : 'koffi is imported outside src/sys';
  if (module === 'fuse-native' && room !== 'fuse-native') return 'fuse-native is imported outside its room';
  if (!module.startsWith('.')) return null;
  const target = join(dirname(file), module).replace(/\.(js|ts)$/, '');
  if (target.startsWith('..')) {
    return /^\.\.\/package\.json$/.test(target) ? null : `${module} leaves src/`;
  }
  if (PLAIN_SYS.has(target)) return null;
  const to = roomOf(target);
  if (to === room) return null;
  const allowed = MAY_IMPORT[room];
  if (allowed === undefined) return `the room ${room} has no row in scripts/check-arrows.mjs`;
  return allowed.includes(to) ? null : `${room} must not import ${to} (${module})`;
}

/** All violations of one file of src/, given by its path relative to src/ and its text. */
export function check(file, source) {
  const problems = [];
  const lines = source.split('\n').length - (source.endsWith('\n') ? 1 : 0);
  if (lines > MAX_LINES) problems.push({ line: lines, text: `${lines} lines, more than ${MAX_LINES}` });
  const text = withoutComments(source);
  for (const { module, at } of importsOf(text)) {
    const problem = importProblem(file, module);
    if (problem !== null) problems.push({ line: lineAt(text, at), text: problem });
  }
  if (SYNCHRONOUS.has(roomOf(file))) {
    const code = text.replace(/'(?:\\.|[^'\\\n])*'|"(?:\\.|[^"\\\n])*"/g, "''");
    for (const match of code.matchAll(
      /\b(?:await|async|Promise|setTimeout|setImmediate|queueMicrotask)\b/g,
    )) {
      problems.push({ line: lineAt(code, match.index), text: `\`${match[0]}\` in a synchronous room` });
    }
  }
  return problems;
}

function* sources(directory) {
  for (const entry of readdirSync(directory, { withFileTypes: true })) {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) yield* sources(path);
    else if (/\.(ts|js|mjs)$/.test(entry.name)) yield path;
  }
}

function main() {
  const src = resolve(dirname(fileURLToPath(import.meta.url)), '..', 'src');
  let files = 0;
  let violations = 0;
  for (const path of sources(src)) {
    files++;
    const file = relative(src, path);
    for (const { line, text } of check(file, readFileSync(path, 'utf8'))) {
      console.error(`src/${file}:${line}: ${text}`);
      violations++;
    }
  }
  if (violations > 0) process.exitCode = 1;
  else console.log(`arrows: ${files} files keep the rules`);
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) main();
