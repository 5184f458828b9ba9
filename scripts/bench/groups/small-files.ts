/** Reading many small files. */

import { TREE } from '../fixtures.js';
import type { Measure, Scenario } from '../scenario.js';

const REPEAT = { repeat: 3 };
const TAR = 'tar c . | cat';
/** Nothing matches, so that every byte is read. */
const GREP = 'grep -r no-such-text . || [ $? = 1 ]';

const warm: Measure = { unit: 'ms', target: { kernel: 1.2, fuseOverlayfs: 1 / 2 } };
const cold: Measure = { unit: 'ms', target: { kernel: 3, fuseOverlayfs: 1 / 3 } };

const read: Scenario = {
  group: 'small files',
  name: 'read',
  fixture: TREE,
  modifies: false,
  quick: true,
  timeoutMs: 60_000,
  measures: { 'open-read-close, cold': cold, 'open-read-close, warm': warm },
  async run(stage) {
    const list = stage.layers.lists['files']!;
    stage.record('open-read-close, cold', await stage.clientMs('readAll', { list }));
    stage.record('open-read-close, warm', await stage.clientMs('readAll', { list }));
  },
};

const tar: Scenario = {
  group: 'small files',
  name: 'tar',
  fixture: TREE,
  modifies: false,
  quick: true,
  timeoutMs: 60_000,
  measures: { 'tar | cat, cold': cold, 'tar | cat, warm': warm },
  async run(stage) {
    stage.record('tar | cat, cold', await stage.shell(TAR));
    stage.record('tar | cat, warm', await stage.shell(TAR, REPEAT));
  },
};

const grep: Scenario = {
  group: 'small files',
  name: 'grep',
  fixture: TREE,
  modifies: false,
  quick: true,
  timeoutMs: 60_000,
  measures: { 'grep -r, cold': cold, 'grep -r, warm': warm },
  async run(stage) {
    stage.record('grep -r, cold', await stage.shell(GREP));
    stage.record('grep -r, warm', await stage.shell(GREP, REPEAT));
  },
};

const fromDisk: Scenario = {
  group: 'small files',
  name: 'tar from disk',
  fixture: TREE,
  modifies: false,
  quick: false,
  timeoutMs: 60_000,
  measures: { 'tar | cat, from disk': cold },
  async run(stage) {
    await stage.remountFromDisk();
    stage.record('tar | cat, from disk', await stage.shell(TAR));
  },
};

export const SMALL_FILES: readonly Scenario[] = [read, tar, grep, fromDisk];
