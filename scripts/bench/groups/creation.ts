/** Creating and removing objects in the upper layer. */

import { TREE } from '../fixtures.js';
import { run } from '../process.js';
import type { Measure, Scenario } from '../scenario.js';
import type { Stage } from '../stage.js';

const measure: Measure = { unit: 'ms', target: { kernel: 1.6, fuseOverlayfs: 1 / 2 } };

async function emptyDirectory(stage: Stage, name: string): Promise<string> {
  await stage.shell(`mkdir ${name}`);
  return `${stage.root}/${name}`;
}

const create: Scenario = {
  group: 'creation',
  name: 'create',
  fixture: TREE,
  modifies: true,
  quick: true,
  timeoutMs: 60_000,
  measures: {
    create: measure,
    'create + 4 KiB': measure,
    rename: measure,
    unlink: measure,
    symlink: measure,
    mkdir: measure,
    'mkdir -p': measure,
  },
  async run(stage, sizes) {
    const count = sizes.newFiles;
    const empty = await emptyDirectory(stage, 'empty');
    stage.record('create', await stage.clientMs('create', { root: empty, count }));
    const full = await emptyDirectory(stage, 'full');
    stage.record('create + 4 KiB', await stage.clientMs('create', { root: full, count, bytes: 4096 }));
    stage.record('rename', await stage.clientMs('rename', { root: full, count }));
    stage.record('unlink', await stage.clientMs('unlink', { root: full, count, salt: '.renamed' }));
    const links = await emptyDirectory(stage, 'links');
    stage.record('symlink', await stage.clientMs('symlink', { root: links, count }));
    const directories = await emptyDirectory(stage, 'directories');
    stage.record('mkdir', await stage.clientMs('mkdir', { root: directories, count }));
    const paths = `{1..10}/{1..10}/{1..${Math.ceil(count / 200)}}`;
    stage.record('mkdir -p', await stage.shell(`mkdir -p deep/${paths}`));
  },
};

const untar: Scenario = {
  group: 'creation',
  name: 'untar',
  fixture: TREE,
  modifies: true,
  quick: true,
  timeoutMs: 60_000,
  measures: { untar: measure, 'rm -rf of an upper tree': measure },
  async run(stage) {
    const archive = stage.scratchFile('tree.tar');
    await run(['tar', 'cf', archive, '-C', stage.layers.plain, '.'], { timeoutMs: 30_000 });
    await stage.shell('mkdir new');
    stage.record('untar', await stage.shell(`tar xf ${archive} -C new`));
    await stage.sync();
    stage.record('rm -rf of an upper tree', await stage.shell('rm -rf new'));
    await run(['rm', archive], { timeoutMs: 5000 });
  },
};

const removeLower: Scenario = {
  group: 'creation',
  name: 'rm -rf',
  fixture: TREE,
  modifies: true,
  quick: true,
  timeoutMs: 60_000,
  measures: { 'rm -rf of a lower tree': measure },
  async run(stage) {
    stage.record('rm -rf of a lower tree', await stage.shell('rm -rf usr'));
  },
};

export const CREATION: readonly Scenario[] = [create, untar, removeLower];
