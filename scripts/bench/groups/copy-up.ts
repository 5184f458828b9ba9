/** Changing objects of a lower layer. */

import { writeFileSync } from 'node:fs';
import { HUGE, TREE } from '../fixtures.js';
import { sleep } from '../process.js';
import type { Measure, Scenario } from '../scenario.js';

const measure: Measure = { unit: 'ms', target: { kernel: 1.05 } };
const MIB = 1 << 20;

const append: Scenario = {
  group: 'copy-up',
  name: 'append',
  fixture: TREE,
  modifies: true,
  quick: true,
  timeoutMs: 120_000,
  // It copies nothing up.
  except: ['plain'],
  measures: { 'append a byte': measure },
  async run(stage, sizes) {
    const args = { list: stage.layers.lists['files']!, count: sizes.copyUpFiles };
    stage.record('append a byte', await stage.clientMs('append', args));
  },
};

const appendVolatile: Scenario = {
  ...append,
  name: 'append, volatile',
  extra: ['volatile'],
  measures: { 'append a byte, volatile': measure },
  async run(stage, sizes) {
    const args = { list: stage.layers.lists['files']!, count: sizes.copyUpFiles };
    stage.record('append a byte, volatile', await stage.clientMs('append', args));
  },
};

const touch: Scenario = {
  ...append,
  name: 'touch',
  quick: false,
  measures: { touch: measure },
  async run(stage, sizes) {
    const args = { list: stage.layers.lists['files']!, count: sizes.copyUpFiles };
    stage.record('touch', await stage.clientMs('touch', args));
  },
};

/** On 300 files. */
function recursive(command: string, quick: boolean): Scenario {
  return {
    ...append,
    name: command,
    quick,
    measures: { [command]: measure },
    async run(stage) {
      stage.record(command, await stage.shell(`${command} ${PART}`));
    },
  };
}

function withMetacopy(command: string): Scenario {
  const name = `${command}, metacopy`;
  return {
    ...append,
    name,
    quick: false,
    extra: ['metacopy=on'],
    measures: { [name]: { unit: 'ms', target: { kernel: 1 / 3, kernelMeasure: command } } },
    async run(stage) {
      stage.record(name, await stage.shell(`${command} ${PART}`));
    },
  };
}

const PART = 'usr/lib/package{0..4}';
const CHMOD = 'chmod -R o-r';
const CHOWN = 'chown -R 1:1';

const latency = (most: number): Measure => ({
  unit: 'ms',
  aside: true,
  target: { value: most, fuseOverlayfs: 1 / 10 },
});

const huge: Scenario = {
  group: 'copy-up',
  name: 'large file',
  fixture: HUGE,
  modifies: true,
  quick: true,
  timeoutMs: 120_000,
  except: ['plain'],
  memoryMiB: (sizes) => sizes.hugeMiB,
  measures: {
    'one byte into a large file': measure,
    'another client meanwhile, p50': { unit: 'ms', aside: true },
    'another client meanwhile, p99': latency(5),
    'another client meanwhile, max': { unit: 'ms', aside: true },
  },
  async run(stage, sizes) {
    const stop = stage.scratchFile('stop');
    const probing = stage.client('probe', { root: `${stage.root}/other`, stop, salt: 'probe' }, 1);
    await sleep(20);
    // The probe must be stopped, and its failure noticed, even when the write fails.
    const [written, latencies] = await Promise.allSettled([
      stage
        .clientMs('pokeByte', { root: `${stage.root}/large`, bytes: sizes.hugeMiB * MIB })
        .finally(() => writeFileSync(stop, '')),
      probing,
    ]);
    if (written.status === 'rejected') throw written.reason;
    if (latencies.status === 'rejected') throw latencies.reason;
    const at = latencies.value as Readonly<Record<string, number>>;
    stage.record('one byte into a large file', written.value);
    for (const quantile of ['p50', 'p99', 'max']) {
      stage.record(`another client meanwhile, ${quantile}`, at[quantile]!);
    }
    await stage.sync();
  },
};

export const COPY_UP: readonly Scenario[] = [
  append,
  appendVolatile,
  touch,
  recursive(CHMOD, true),
  recursive(CHOWN, false),
  withMetacopy(CHMOD),
  withMetacopy(CHOWN),
  huge,
];
