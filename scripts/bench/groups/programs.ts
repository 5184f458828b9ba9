/** Real programs, each on a fresh mount. */

import { TREE } from '../fixtures.js';
import { C_SOURCES, NPM_PROJECT, PYTHON, REPOSITORY } from '../fixtures-programs.js';
import type { Measure, Scenario } from '../scenario.js';

const measure: Measure = { unit: 'ms', target: { kernel: 1.25, fuseOverlayfs: 1.05 } };

const COMMON = { group: 'programs', modifies: true, timeoutMs: 120_000 } as const;

const git: Scenario = {
  ...COMMON,
  name: 'git',
  fixture: REPOSITORY,
  quick: true,
  needs: ['git'],
  measures: { 'git status, first': measure, 'git status, again': measure, 'git checkout': measure },
  async run(stage) {
    const cwd = `${stage.root}/repo`;
    stage.record('git status, first', await stage.shell('git status', { cwd }));
    stage.record('git status, again', await stage.shell('git status', { cwd, repeat: 3 }));
    stage.record('git checkout', await stage.shell('git checkout -q other', { cwd }));
  },
};

const compileall: Scenario = {
  ...COMMON,
  name: 'compileall',
  fixture: PYTHON,
  quick: true,
  needs: ['python3'],
  measures: { 'python -m compileall': measure },
  async run(stage) {
    stage.record('python -m compileall', await stage.shell(`${stage.python} -m compileall -q lib`));
  },
};

const make: Scenario = {
  ...COMMON,
  name: 'make',
  fixture: C_SOURCES,
  quick: true,
  needs: ['make', 'cc'],
  measures: { 'make -j2': measure },
  async run(stage) {
    stage.record('make -j2', await stage.shell('make -s -j2', { cwd: `${stage.root}/c` }));
  },
};

const copy: Scenario = {
  ...COMMON,
  name: 'cp -a',
  fixture: TREE,
  quick: true,
  measures: { 'cp -a': measure },
  async run(stage) {
    stage.record('cp -a', await stage.shell('cp -a usr copy'));
  },
};

const rsync: Scenario = {
  ...COMMON,
  name: 'rsync',
  fixture: TREE,
  quick: false,
  needs: ['rsync'],
  measures: { 'rsync -a': measure, 'rsync -a, nothing to do': measure },
  async run(stage) {
    stage.record('rsync -a', await stage.shell('rsync -a usr/ copy/'));
    stage.record('rsync -a, nothing to do', await stage.shell('rsync -a usr/ copy/'));
  },
};

const npm: Scenario = {
  ...COMMON,
  name: 'npm ci',
  fixture: NPM_PROJECT,
  quick: false,
  needs: ['npm'],
  measures: { 'npm ci': measure },
  async run(stage) {
    const options = `--offline --no-audit --no-fund --silent --cache ${stage.layers.lists['cache']}`;
    stage.record('npm ci', await stage.shell(`npm ci ${options}`, { cwd: `${stage.root}/app` }));
  },
};

export const PROGRAMS: readonly Scenario[] = [git, compileall, make, copy, rsync, npm];
