/** The process is killed in mid-rename where that takes more than one step: nothing may be lost, at whatever call it is. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as sys from '../../src/sys/index.js';
import type { KilledRun } from '../support/killed-main.js';
import { CALLS } from '../support/syscalls.js';
import { isWhiteout, it } from './core-fixture.js';
import { Place } from './layer-fixture.js';

const MAIN = fileURLToPath(new URL('../support/killed-main.js', import.meta.url));

/** Each kind of call that gives or takes a name. */
const POINTS: Record<string, Pick<KilledRun, 'call' | 'flags'>> = {
  link: { call: CALLS.linkat },
  rename: { call: CALLS.renameat },
  'rename without flags': { call: CALLS.renameat2, flags: 0 },
  'rename to a free name': { call: CALLS.renameat2, flags: sys.RENAME_NOREPLACE },
  exchange: { call: CALLS.renameat2, flags: sys.RENAME_EXCHANGE },
};

/** Renames in a copy of `fill`'s layers, killed at `point`. Whether it was killed, and where it happened. */
function killed(t: TestContext, run: Omit<KilledRun, 'place'>, fill: (place: Place) => void) {
  const place = new Place(t);
  place.dirs('lower', 'upper', 'work');
  fill(place);
  const argument = JSON.stringify({ ...run, place: place.dir });
  const { signal, status, stderr } = spawnSync(process.execPath, [MAIN, argument], { encoding: 'latin1' });
  assert.ok(signal === 'SIGSYS' || status === 0, stderr);
  return { place, died: signal !== null };
}

/** What an upper name says: the content of a file (or of the file `in` a directory), a whiteout, nothing. */
function shown(place: Place, path: string): string {
  const at = place.at(`upper/${path}`);
  if (lstatSync(at, { throwIfNoEntry: false }) === undefined) return 'nothing';
  if (isWhiteout(at)) return 'whiteout';
  if (!lstatSync(at).isDirectory()) return readFileSync(at, 'latin1');
  return existsSync(`${at}/in`) ? readFileSync(`${at}/in`, 'latin1') : 'empty directory';
}

for (const [name, point] of Object.entries(POINTS)) {
  it(`a file over another, killed at ${name}: the file is there, and so is what it was to replace`, (t) => {
    const { place, died } = killed(t, { ...point, rename: ['a', 'b'] }, (p) => {
      for (const layer of ['lower', 'upper']) {
        p.file(`${layer}/a`, 'moved');
        p.file(`${layer}/b`, 'replaced');
      }
    });
    const [from, to] = [shown(place, 'a'), shown(place, 'b')];
    if (!died) assert.deepEqual([from, to], ['whiteout', 'moved']);
    else assert.ok(from === 'moved' ? to === 'moved' || to === 'replaced' : to === 'moved', `${from}, ${to}`);
  });

  for (const target of ['nothing', 'a lower directory', 'an upper directory']) {
    it(`a directory over ${target}, killed at ${name}: it is there`, (t) => {
      const { place, died } = killed(t, { ...point, rename: ['a', 'b'] }, (p) => {
        p.dirs('lower/a');
        p.file('upper/a/in', 'moved');
        if (target === 'a lower directory') p.dirs('lower/b');
        if (target === 'an upper directory') p.dirs('upper/b');
      });
      const [from, to] = [shown(place, 'a'), shown(place, 'b')];
      if (!died) assert.deepEqual([from, to], ['whiteout', 'moved']);
      else assert.ok([from, to].includes('moved'), `${from}, ${to}`);
    });
  }
}
