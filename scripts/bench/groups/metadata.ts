/** Walks and lookups. */

import { BIG_DIRECTORY, stack, TREE } from '../fixtures.js';
import type { Measure, Scenario, Target } from '../scenario.js';

/** "No slower", allowing for noise. */
const WARM: Target = { kernel: 1.05, fuseOverlayfs: 1.05 };
const COLD: Target = { kernel: 2.5, fuseOverlayfs: 1 / 3 };
const REPEAT = { repeat: 5 };

const warm: Measure = { unit: 'ms', target: WARM };
const cold: Measure = { unit: 'ms', target: COLD };

const find: Scenario = {
  group: 'metadata',
  name: 'find',
  fixture: TREE,
  modifies: false,
  quick: true,
  timeoutMs: 60_000,
  measures: { 'find, cold': cold, 'find, warm': warm, 'find -size, cold': cold, 'find -size, warm': warm },
  async run(stage) {
    stage.record('find, cold', await stage.shell('find .'));
    stage.record('find, warm', await stage.shell('find .', REPEAT));
    await stage.remount();
    stage.record('find -size, cold', await stage.shell('find . -size +3k'));
    stage.record('find -size, warm', await stage.shell('find . -size +3k', REPEAT));
  },
};

const findFromDisk: Scenario = {
  group: 'metadata',
  name: 'find from disk',
  fixture: TREE,
  modifies: false,
  quick: false,
  timeoutMs: 60_000,
  measures: { 'find, from disk': cold },
  async run(stage) {
    await stage.remountFromDisk();
    stage.record('find, from disk', await stage.shell('find .'));
  },
};

const stat: Scenario = {
  group: 'metadata',
  name: 'stat',
  fixture: TREE,
  modifies: false,
  quick: true,
  timeoutMs: 60_000,
  measures: {
    'stat present, cold': cold,
    'stat present, warm': warm,
    'stat missing, cold': cold,
    'stat missing, warm': warm,
  },
  async run(stage) {
    const list = stage.layers.lists['files']!;
    stage.record('stat present, cold', await stage.clientMs('statPresent', { list }));
    stage.record('stat present, warm', await stage.clientMs('statPresent', { list }));
    await stage.remount();
    stage.record('stat missing, cold', await stage.clientMs('statMissing', { list, salt: '.no' }));
    stage.record('stat missing, warm', await stage.clientMs('statMissing', { list, salt: '.no' }));
  },
};

const bigDirectory: Scenario = {
  group: 'metadata',
  name: 'big directory',
  fixture: BIG_DIRECTORY,
  modifies: false,
  quick: true,
  timeoutMs: 60_000,
  measures: { 'readdir, cold': cold, 'readdir, warm': warm, 'ls -l, cold': cold, 'ls -l, warm': warm },
  async run(stage, sizes) {
    const root = `${stage.root}/d`;
    const count = sizes.bigDirEntries;
    stage.record('readdir, cold', await stage.clientMs('readdir', { root, count }));
    stage.record('readdir, warm', await stage.clientMs('readdir', { root, count }));
    await stage.remount();
    stage.record('ls -l, cold', await stage.shell('ls -l d'));
    stage.record('ls -l, warm', await stage.shell('ls -l d', { repeat: 3 }));
  },
};

function lookups(depth: number, target: Target | null): Scenario {
  const present = `lookup of ${depth}: present`;
  const missing = `lookup of ${depth}: missing`;
  const measure: Measure = target === null ? { unit: 'µs' } : { unit: 'µs', target };
  return {
    group: 'metadata',
    name: `lookups under ${depth} layers`,
    fixture: stack(depth),
    modifies: false,
    quick: depth === 1 || depth === 128,
    timeoutMs: 60_000,
    measures: { [present]: measure, [missing]: measure },
    async run(stage, sizes) {
      const list = stage.layers.lists['names']!;
      const perLookup = (ms: number) => (ms * 1000) / sizes.lookups;
      stage.record(present, perLookup(await stage.clientMs('statPresent', { list })));
      stage.record(missing, perLookup(await stage.clientMs('statMissing', { list, salt: '.no' })));
    },
  };
}

const DEEP: Target = { kernel: 1, fuseOverlayfs: 1 / 3 };

export const METADATA: readonly Scenario[] = [
  find,
  findFromDisk,
  stat,
  bigDirectory,
  lookups(1, COLD),
  lookups(8, null),
  lookups(64, null),
  lookups(128, DEEP),
  lookups(500, null),
];
