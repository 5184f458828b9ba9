/** Start, end, memory, and several clients at once. */

import { crowd, SMALLEST } from '../fixtures.js';
import { dropCaches } from '../process.js';
import type { Measure, Scenario } from '../scenario.js';

const start: Scenario = {
  group: 'life',
  name: 'start and stop',
  fixture: SMALLEST,
  modifies: false,
  quick: true,
  timeoutMs: 30_000,
  except: ['plain'],
  measures: {
    'exec to first stat': { unit: 'ms', aside: true },
    unmount: { unit: 'ms', aside: true },
  },
  async run(stage) {
    await stage.unmount();
    stage.record('exec to first stat', await stage.mountTimed('file'));
    stage.record('unmount', await stage.unmount());
  },
};

function memory(count: number, quick: boolean, perFile: Measure): Scenario {
  const label = count.toLocaleString('en');
  return {
    group: 'life',
    name: `memory, ${label} files`,
    fixture: crowd(count),
    modifies: false,
    quick,
    timeoutMs: 180_000,
    except: ['plain', 'kernel'],
    measures: {
      [`mounted, before ${label} files`]: { unit: 'MB', aside: true, target: { value: 70 } },
      [`${label} files walked`]: { unit: 'MB', aside: true },
      [`${label} files, per file`]: perFile,
      [`${label} files forgotten`]: { unit: 'MB', aside: true },
    },
    async run(stage) {
      const mounted = await stage.memory();
      stage.record(`mounted, before ${label} files`, mounted);
      await stage.shell('find . -size +0');
      const walked = await stage.memory();
      stage.record(`${label} files walked`, walked);
      stage.record(`${label} files, per file`, ((walked - mounted) * 1024 * 1024) / count);
      dropCaches(2);
      stage.record(`${label} files forgotten`, await stage.memory());
    },
  };
}

const CLIENTS = [1, 2, 4, 8];

function parallel(what: string, op: string, quick: boolean): Scenario {
  const name = (count: number) => `${what} × ${count}`;
  const measure = (count: number): Measure =>
    count === 4 ? { unit: 'ops/s', target: { fuseOverlayfs: 1 / 2 } } : { unit: 'ops/s' };
  return {
    group: 'life',
    name: `parallel ${what}`,
    fixture: SMALLEST,
    modifies: true,
    quick,
    timeoutMs: 60_000,
    measures: Object.fromEntries(CLIENTS.map((count) => [name(count), measure(count)])),
    async run(stage, sizes) {
      for (const count of CLIENTS) {
        const clients = Array.from({ length: count }, (_, who) => {
          const salt = `${count}-${who}`;
          const root = op === 'stormCreate' ? `${stage.root}/storm-${salt}` : stage.root;
          return stage.clientMs(op, { root, salt, ms: sizes.stormMs }, who);
        });
        const rates = await Promise.all(clients);
        stage.record(
          name(count),
          rates.reduce((sum, rate) => sum + rate, 0),
        );
      }
    },
  };
}

export const LIFE: readonly Scenario[] = [
  start,
  memory(30_000, true, { unit: 'B', aside: true }),
  memory(500_000, false, { unit: 'B', aside: true, target: { value: 300 } }),
  parallel('lookup', 'stormLookup', true),
  parallel('create, write, unlink', 'stormCreate', true),
];
