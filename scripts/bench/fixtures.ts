/** Lower layers, built once per run and never changed; beside each, the same tree as a plain directory. */

import { closeSync, fsyncSync, mkdirSync, openSync, symlinkSync, writeFileSync, writeSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { run } from './process.js';
import { createRandom, type Random, shuffled } from './random.js';
import type { Sizes } from './sizes.js';

export interface Layers {
  /** Top first. */
  readonly lowers: readonly string[];
  /** The merged tree as one directory of the plain filesystem. */
  readonly plain: string;
  /** Name to JSON file with paths relative to the root. */
  readonly lists: Readonly<Record<string, string>>;
}

export interface Fixture {
  readonly name: string;
  build(dir: string, sizes: Sizes): Promise<Layers> | Layers;
}

const LINE =
  'int value_of_something(int left, int right) { return left * 31 + right; } /* lorem ipsum dolor */\n';
export const TEXT = LINE.repeat(400);

/** From 200 bytes to 18 KB, most of them small, as in a source tree or /usr. */
export function fileText(random: Random): string {
  return TEXT.slice(0, Math.floor(200 * 2 ** (random.unit() * 6.5)));
}

function writeList(dir: string, name: string, paths: readonly string[]): string {
  const file = join(dir, `${name}.json`);
  writeFileSync(file, JSON.stringify(paths));
  return file;
}

/** Writes files to layer directories, making parents; a tree of layers and the plain copy grow together. */
export class TreeWriter {
  readonly #made = new Set<string>();

  directory(path: string): void {
    if (this.#made.has(path)) return;
    mkdirSync(path, { recursive: true });
    this.#made.add(path);
  }

  file(path: string, text: string): void {
    this.directory(dirname(path));
    writeFileSync(path, text);
  }

  link(path: string, target: string): void {
    this.directory(dirname(path));
    symlinkSync(target, path);
  }
}

/** Three layers: the bottom one has six tenths of the files, and some of these are also in a layer above. */
export const TREE: Fixture = {
  name: 'tree',
  build(dir, sizes) {
    const lowers = ['l0', 'l1', 'l2'].map((name) => join(dir, name));
    const plain = join(dir, 'plain');
    const writer = new TreeWriter();
    const random = createRandom(1);
    const files: string[] = [];
    for (let i = 0; i < sizes.treeFiles; i++) {
      const name = `usr/lib/package${Math.floor(i / 60)}/part${Math.floor(i / 15) % 4}/file${i}.c`;
      const dice = random.unit();
      const text = fileText(random);
      const layer = dice < 0.6 ? 2 : dice < 0.85 ? 1 : 0;
      writer.file(join(lowers[layer]!, name), text);
      writer.file(join(plain, name), text);
      if (layer < 2 && dice > 0.95) writer.file(join(lowers[2]!, name), 'older');
      if (i % 30 === 0) {
        writer.link(join(lowers[2]!, `${name}.link`), 'elsewhere');
        writer.link(join(plain, `${name}.link`), 'elsewhere');
      }
      files.push(name);
    }
    return { lowers, plain, lists: { files: writeList(dir, 'files', shuffled(files, 3)) } };
  },
};

/** One directory of many entries, merged from two layers. */
export const BIG_DIRECTORY: Fixture = {
  name: 'bigdir',
  build(dir, sizes) {
    const lowers = [join(dir, 'l0'), join(dir, 'l1')];
    const plain = join(dir, 'plain');
    const writer = new TreeWriter();
    for (let i = 0; i < sizes.bigDirEntries; i++) {
      writer.file(join(lowers[i % 2]!, 'd', `entry-${i}`), '');
      writer.file(join(plain, 'd', `entry-${i}`), '');
    }
    return { lowers, plain, lists: {} };
  },
};

/** One directory merged from `depth` layers, its names spread over them. */
export function stack(depth: number): Fixture {
  return {
    name: `stack${depth}`,
    build(dir, sizes) {
      const lowers = Array.from({ length: depth }, (_, i) => join(dir, String(i)));
      const plain = join(dir, 'plain');
      const writer = new TreeWriter();
      const names: string[] = [];
      for (let i = 0; i < Math.max(sizes.lookups, depth); i++) {
        const name = `d/name-${i}`;
        writer.file(join(lowers[i % depth]!, name), '');
        writer.file(join(plain, name), '');
        if (i < sizes.lookups) names.push(name);
      }
      return { lowers, plain, lists: { names: writeList(dir, 'names', shuffled(names, 5)) } };
    },
  };
}

function writeLarge(path: string, mebibytes: number): void {
  const random = createRandom(mebibytes);
  const block = Buffer.alloc(1 << 20);
  for (let i = 0; i < block.length; i += 4) block.writeUInt32LE(random.below(2 ** 32), i);
  const fd = openSync(path, 'w');
  for (let i = 0; i < mebibytes; i++) {
    block.writeUInt32LE(i, 0);
    writeSync(fd, block);
  }
  fsyncSync(fd);
  closeSync(fd);
}

/** One large file, and a directory for another client to look at. */
function large(name: string, mebibytes: (sizes: Sizes) => number): Fixture {
  return {
    name,
    build(dir, sizes) {
      const lower = join(dir, 'l0');
      mkdirSync(join(lower, 'other'), { recursive: true });
      writeLarge(join(lower, 'large'), mebibytes(sizes));
      writeFileSync(join(lower, 'other', 'file'), 'x');
      return { lowers: [lower], plain: lower, lists: {} };
    },
  };
}

export const HUGE = large('huge', (sizes) => sizes.hugeMiB);
export const IO = large('io', (sizes) => sizes.ioMiB);

/** A lower with only one directory and one file: only the mount itself is measured. */
export const SMALLEST: Fixture = {
  name: 'smallest',
  build(dir) {
    const lower = join(dir, 'l0');
    mkdirSync(join(lower, 'd'), { recursive: true });
    writeFileSync(join(lower, 'file'), 'x');
    return { lowers: [lower], plain: lower, lists: {} };
  },
};

/** Many empty files in directories of a hundred, in one layer. */
export function crowd(count: number): Fixture {
  return {
    name: `crowd${count}`,
    build(dir) {
      const lower = join(dir, 'l0');
      for (let i = 0; i < count / 100; i++) {
        const directory = join(lower, `d${Math.floor(i / 100)}`, `e${i % 100}`);
        mkdirSync(directory, { recursive: true });
        for (let j = 0; j < 100; j++) closeSync(openSync(join(directory, `f${j}`), 'w'));
      }
      return { lowers: [lower], plain: lower, lists: {} };
    },
  };
}

/** Builds each fixture the first time a scenario needs it. */
export class FixtureStore {
  readonly #built = new Map<string, Promise<Layers>>();
  readonly #root: string;
  readonly #sizes: Sizes;

  constructor(root: string, sizes: Sizes) {
    this.#root = root;
    this.#sizes = sizes;
  }

  get(fixture: Fixture): Promise<Layers> {
    let layers = this.#built.get(fixture.name);
    if (layers === undefined) {
      layers = this.#build(fixture);
      this.#built.set(fixture.name, layers);
    }
    return layers;
  }

  async #build(fixture: Fixture): Promise<Layers> {
    const dir = join(this.#root, fixture.name);
    mkdirSync(dir, { recursive: true });
    const layers = await fixture.build(dir, this.#sizes);
    await run(['sync', '-f', this.#root], { timeoutMs: 120_000 });
    return layers;
  }
}
