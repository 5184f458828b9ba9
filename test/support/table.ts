/**
 * Tables of small cases on one mount: each case has its own directory in every layer, runs a shell script there, and
 * states its output, the merged view afterwards, and the content of the upper layer.
 *
 * With PLYFS_TEST_RECORD=FILE in the environment nothing is checked; instead the results are appended to FILE, as the
 * start of a new case's expectations.
 */
import assert from 'node:assert/strict';
import { appendFileSync, mkdirSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import type { Limit } from '../../src/fuse-native/capabilities.js';
import { type Driver, drivers } from './drivers.js';
import { type RunResult, sh } from './exec.js';
import { Fixture } from './fixture.js';
import { build } from './machine.js';
import { Scratch } from './scratch.js';
import type { Snapshot } from './snapshot.js';

export interface Case {
  /** Steps that build the bottom layer's directory of this case. */
  readonly lower?: readonly string[];
  /** The same for a second lower layer above it. */
  readonly middle?: readonly string[];
  readonly upper?: readonly string[];
  /** Script for /bin/sh in the merged directory of this case. */
  readonly run: string;
  /** Programs without which the case is skipped. */
  readonly needs?: readonly string[];
  /** Capabilities it needs: a driver that lacks one of these skips the case. */
  readonly uses?: readonly Limit[];
  readonly code?: number;
  /** What the script prints, stdout and stderr together. */
  readonly prints?: string;
  /** The whole merged directory afterwards, each line reduced by {@link reduced}. */
  readonly view?: Snapshot;
  /** The whole upper directory afterwards. */
  readonly inUpper?: Snapshot;
}

export type Table = Readonly<Record<string, Case>>;

/**
 * A snapshot line without the usual values: usual modes, root's ownership, a single link, times, and the
 * overlay's bookkeeping xattrs (the oracle suite compares those).
 */
function reduced(line: string): string {
  return line
    .replace(/^file 0644/, 'file')
    .replace(/^dir 0755/, 'dir')
    .replace(/^link 0777/, 'link')
    .replace(/ 0:0(?= )/, '')
    .replace(/ nlink=1(?= |$)/, '')
    .replace(/^(dir.*) nlink=\d+/, '$1')
    .replace(/ mtime=\S+/, '')
    .replace(/ trusted\.overlay\.impure="y"| origin(?= |$)/g, '')
    .replace(/ trusted\.overlay\.opaque="y"/, ' opaque');
}

/** The part of a snapshot below `directory`, reduced. */
export function part(snapshot: Snapshot, directory: string): Snapshot {
  const lines: Snapshot = {};
  for (const [path, line] of Object.entries(snapshot)) {
    if (path.startsWith(`${directory}/`)) {
      lines[path.slice(directory.length + 1)] = reduced(line).replace(` same=${directory}/`, ' same=');
    }
  }
  return lines;
}

const found = new Map<string, Promise<boolean>>();

/** Whether a program is on PATH. */
export function hasTool(name: string): Promise<boolean> {
  let answer = found.get(name);
  if (answer === undefined) {
    answer = sh(`command -v ${name}`).then((result) => result.code === 0);
    found.set(name, answer);
  }
  return answer;
}

/** The programs of a list that are missing. */
export async function missingTools(names: readonly string[] = []): Promise<string[]> {
  const have = await Promise.all(names.map(hasTool));
  return names.filter((_, i) => !have[i]);
}

/** Why a test that runs these programs can't; null when it can. */
export async function lacking(...names: string[]): Promise<string | null> {
  const missing = await missingTools(names);
  return missing.length > 0 ? `not installed: ${missing.join(', ')}` : null;
}

class TableRun {
  readonly #table: Table;
  readonly #driver: Driver;
  readonly #scratch = new Scratch();
  readonly #results = new Map<string, RunResult>();
  #fixture: Fixture | null = null;
  #view: Snapshot = {};
  #upper: Snapshot = {};
  #changes: string[] = [];
  #leftovers: string[] = [];

  constructor(table: Table, driver: Driver) {
    this.#table = table;
    this.#driver = driver;
  }

  /** Runs all scripts, then records both sides once. */
  async start(): Promise<void> {
    const fixture = new Fixture(this.#scratch, this.#driver, { lower: [[], []] });
    this.#fixture = fixture;
    const names = Object.keys(this.#table);
    for (const name of names) this.#build(fixture, name, this.#table[name]!);
    await fixture.mount();
    for (const name of names) {
      const one = this.#table[name]!;
      if ((await this.reasonToSkip(name)) !== null) continue;
      this.#results.set(name, await fixture.sh(`umask 022; exec 2>&1\n${one.run}`, { within: name }));
    }
    this.#view = await fixture.view();
    this.#upper = fixture.upper();
    await fixture.unmount();
    this.#changes = fixture.lowerChanges();
    this.#leftovers = fixture.leftovers();
  }

  /** Why a case can't run here; null when it can. */
  async reasonToSkip(name: string): Promise<string | null> {
    const { needs, uses = [] } = this.#table[name]!;
    const missing = await missingTools(needs);
    if (missing.length > 0) return `not installed: ${missing.join(', ')}`;
    return uses.map((limit) => this.#driver.lacks(limit)).find((reason) => reason !== null) ?? null;
  }

  #build(fixture: Fixture, name: string, one: Case): void {
    const layers: [string | undefined | null, readonly string[] | undefined][] = [
      [fixture.lower[1], one.lower ?? []],
      [fixture.lower[0], one.middle],
      [fixture.upperDir, one.upper],
    ];
    for (const [directory, steps] of layers) {
      if (steps === undefined) continue;
      mkdirSync(`${directory}/${name}`);
      build(`${directory}/${name}`, steps);
    }
  }

  check(name: string): void {
    const one = this.#table[name]!;
    const result = this.#results.get(name);
    const record = process.env['PLYFS_TEST_RECORD'];
    if (record !== undefined) {
      const actual = { view: part(this.#view, name), inUpper: part(this.#upper, name) };
      const line = JSON.stringify({ name, code: result?.code, prints: result?.stdout, ...actual });
      appendFileSync(record, `${line}\n`);
      return;
    }
    assert.ok(result !== undefined && !result.timedOut, 'the script did not end in time');
    if (one.prints !== undefined) assert.equal(result.stdout, one.prints);
    assert.equal(result.code, one.code ?? 0, `exit code; printed:\n${result.stdout}`);
    if (one.view !== undefined) assert.deepEqual(part(this.#view, name), one.view, 'the merged view');
    if (one.inUpper !== undefined) assert.deepEqual(part(this.#upper, name), one.inUpper, 'the upper layer');
  }

  checkLayers(): void {
    assert.deepEqual(this.#changes, [], 'a lower layer was changed');
    // The kernel keeps one spare whiteout there.
    assert.ok(this.#leftovers.length <= 1, `left in the work directory: ${this.#leftovers.join(' ')}`);
  }

  async dispose(): Promise<void> {
    await this.#fixture?.dispose();
    this.#scratch.dispose();
  }
}

/** Makes a suite out of a table, once per driver. */
export function suite(title: string, table: Table): void {
  for (const driver of drivers) {
    describe(`${title} on ${driver.name}`, () => {
      const run = new TableRun(table, driver);
      let reason: string | null = null;
      before(async () => {
        reason = await driver.unavailable();
        if (reason === null) await run.start();
      });
      after(() => run.dispose());
      for (const name of Object.keys(table)) {
        it(name, async (t) => {
          const skip = reason ?? (await run.reasonToSkip(name));
          if (skip !== null) t.skip(skip);
          else run.check(name);
        });
      }
      it('left every lower layer byte-identical and the work directory empty', (t) => {
        if (reason !== null) t.skip(reason);
        else run.checkLayers();
      });
    });
  }
}
