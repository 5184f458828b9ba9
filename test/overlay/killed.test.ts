/** When the process is killed, or a call fails, before one of the steps of a change, nothing is lost. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { existsSync, lstatSync, readdirSync, readFileSync } from 'node:fs';
import type { TestContext } from 'node:test';
import { fileURLToPath } from 'node:url';
import * as sys from '../../src/sys/index.js';
import type { KilledRun } from '../support/killed-main.js';
import { CALLS } from '../support/syscalls.js';
import { isWhiteout, it } from './core-fixture.js';
import { Place } from './layer-fixture.js';

const MAIN = fileURLToPath(new URL('../support/killed-main.js', import.meta.url));

/** Each kind of call that creates or removes a name. */
const POINTS: Record<string, Pick<KilledRun, 'calls' | 'flags'>> = {
  link: { calls: [CALLS.linkat] },
  rename: { calls: [CALLS.renameat] },
  'rename without flags': { calls: [CALLS.renameat2], flags: 0 },
  'rename to a free name': { calls: [CALLS.renameat2], flags: sys.RENAME_NOREPLACE },
  exchange: { calls: [CALLS.renameat2], flags: sys.RENAME_EXCHANGE },
};

/** Does a step in an overlay of `fill`'s layers. Returns where it was, whether it was killed, and its result if not. */
function killed(t: TestContext, run: Omit<KilledRun, 'place'>, fill: (place: Place) => void) {
  const place = new Place(t);
  place.dirs('lower', 'upper', 'work');
  fill(place);
  const argument = JSON.stringify({ ...run, place: place.dir });
  const { signal, status, stdout, stderr } = spawnSync(process.execPath, [MAIN, argument], {
    encoding: 'latin1',
  });
  assert.ok(signal === 'SIGSYS' || status === 0, stderr);
  return { place, died: signal !== null, outcome: stdout.trim() };
}

/** What a name on upper is: the content of a file (or of the file `in` a directory), a whiteout, nothing. */
function shown(place: Place, path: string): string {
  const at = place.at(`upper/${path}`);
  if (lstatSync(at, { throwIfNoEntry: false }) === undefined) return 'nothing';
  if (isWhiteout(at)) return 'whiteout';
  if (!lstatSync(at).isDirectory()) return readFileSync(at, 'latin1');
  return existsSync(`${at}/in`) ? readFileSync(`${at}/in`, 'latin1') : 'empty directory';
}

for (const [name, point] of Object.entries(POINTS)) {
  it(`a file over another, killed at ${name}: the file is there, and so is the one it was to replace`, (t) => {
    const { place, died } = killed(t, { ...point, step: ['rename', 'a', 'b'] }, (p) => {
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
      const { place, died } = killed(t, { ...point, step: ['rename', 'a', 'b'] }, (p) => {
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

const MARK = 'trusted.overlay.';

/** A whole file of lower, a copy without data of it on upper, and an opaque directory that hides another file. */
function metacopyAndOpaque(place: Place): void {
  place.file('lower/f', 'text');
  place.file('lower/d/hidden', 'text');
  place.file('upper/f', '\0\0\0\0');
  place.dirs('upper/d');
  for (const [path, mark, value] of [
    ['upper/f', 'metacopy', ''],
    ['upper', 'impure', 'y'],
    ['upper/d', 'opaque', 'y'],
  ] as const) {
    const rc = sys.setxattr(sys.AT_FDCWD, place.at(path), MARK + mark, Buffer.from(value), value.length);
    assert.equal(rc, 0, mark);
  }
}

it('a metacopy that is emptied, killed at the truncation: it has its old content, not zeros', (t) => {
  const { place, died } = killed(t, { step: ['empty', 'f'], calls: [CALLS.ftruncate] }, metacopyAndOpaque);
  assert.ok(died);
  const size = sys.getxattr(sys.AT_FDCWD, place.at('upper/f'), `${MARK}metacopy`, Buffer.alloc(1), 1);
  assert.equal(size, 0, 'the mark of a metacopy is there');
});

for (const path of ['d/hidden', 'f']) {
  it(`the marks that say what '${path}' is can't be read: EIO, and nothing that the marks might rule out`, (t) => {
    const run = { step: ['find', path] as const, calls: CALLS.getxattr, errno: sys.EIO };
    const { outcome } = killed(t, run, metacopyAndOpaque);
    assert.equal(outcome, 'EIO');
  });
}

it('a file without an available handle is not copied up to the index, since the kernel would refuse to mount it', (t) => {
  const run: Omit<KilledRun, 'place'> = { step: ['chmod', 'a'], calls: [CALLS.nameToHandle], errno: sys.EIO };
  const { place, outcome } = killed(t, run, (p) => {
    p.file('lower/a', 'text');
    p.run('ln', 'lower/a', 'lower/b');
  });
  assert.equal(outcome, 'EIO');
  assert.deepEqual(readdirSync(place.at('work/index')), []);
});
