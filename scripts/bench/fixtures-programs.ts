/** Lower layers that real programs work in: a repository, sources in C and Python, packages of npm. */

import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Fixture, fileText, TreeWriter } from './fixtures.js';
import { run } from './process.js';
import { createRandom } from './random.js';

const timeoutMs = 120_000;

const GIT = ['git', '-c', 'user.name=bench', '-c', 'user.email=bench@example.org', '-c', 'gc.auto=0'];

/** A clean checkout of `main`; the branch `other` differs in every third file. */
export const REPOSITORY: Fixture = {
  name: 'repository',
  async build(dir, sizes) {
    const lower = join(dir, 'l0');
    const writer = new TreeWriter();
    const random = createRandom(2);
    const write = (step: number, extra: string) => {
      for (let i = 0; i < sizes.repoFiles; i += step) {
        writer.file(join(lower, 'repo', `dir${Math.floor(i / 25)}`, `file${i}.c`), fileText(random) + extra);
      }
    };
    const git = (...args: string[]) => run([...GIT, '-C', join(lower, 'repo'), ...args], { timeoutMs });
    write(1, '');
    await git('init', '-q', '-b', 'main');
    await git('add', '-A');
    await git('commit', '-q', '-m', 'one');
    await git('checkout', '-q', '-b', 'other');
    write(3, 'changed\n');
    await git('commit', '-q', '-a', '-m', 'two');
    await git('checkout', '-q', 'main');
    return { lowers: [lower], plain: lower, lists: {} };
  },
};

function moduleText(i: number): string {
  const functions = Array.from(
    { length: 30 },
    (_, j) =>
      `def f${j}(a, b=${i}):\n    rows = [x * a for x in range(b) if x % ${j + 1}]\n    return {'n': len(rows), 'a': a}\n`,
  );
  return `import os\nimport sys\n\n${functions.join('\n')}`;
}

export const PYTHON: Fixture = {
  name: 'python',
  build(dir, sizes) {
    const lower = join(dir, 'l0');
    const writer = new TreeWriter();
    for (let i = 0; i < sizes.pythonModules; i++) {
      writer.file(join(lower, 'lib', `pkg${Math.floor(i / 20)}`, `module${i}.py`), moduleText(i));
    }
    return { lowers: [lower], plain: lower, lists: {} };
  },
};

const MAKEFILE = `OBJECTS = $(patsubst %.c,%.o,$(wildcard src/*.c))
program: $(OBJECTS)
\t$(CC) -o $@ $^
%.o: %.c include/all.h
\t$(CC) -O0 -Iinclude -c -o $@ $<
`;

export const C_SOURCES: Fixture = {
  name: 'c-sources',
  build(dir, sizes) {
    const lower = join(dir, 'l0');
    const writer = new TreeWriter();
    writer.file(join(lower, 'c', 'Makefile'), MAKEFILE);
    writer.file(
      join(lower, 'c', 'include', 'all.h'),
      '#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n',
    );
    for (let i = 0; i < sizes.cFiles; i++) {
      const name = i === 0 ? 'main' : `f${i}`;
      const text = `#include "all.h"\nint ${name}(void) { printf("%d\\n", ${i}); return 0; }\n`;
      writer.file(join(lower, 'c', 'src', `${name}.c`), text);
    }
    return { lowers: [lower], plain: lower, lists: {} };
  },
};

/** Packs the generated packages and puts them into an npm cache; returns name to integrity. */
async function fillCache(dir: string, count: number): Promise<Map<string, string>> {
  const writer = new TreeWriter();
  const random = createRandom(4);
  const sources = join(dir, 'packages');
  const names = Array.from({ length: count }, (_, i) => `bench-package-${i}`);
  for (const name of names) {
    writer.file(join(sources, name, 'package.json'), JSON.stringify({ name, version: '1.0.0' }));
    for (let j = 0; j < 30; j++) writer.file(join(sources, name, 'lib', `m${j}.js`), fileText(random));
  }
  const directories = names.map((name) => join(sources, name));
  await run(['npm', 'pack', '--silent', '--pack-destination', sources, ...directories], {
    cwd: dir,
    timeoutMs,
  });
  const tarballs = names.map((name) => join(sources, `${name}-1.0.0.tgz`));
  await run(['npm', 'cache', 'add', '--cache', join(dir, 'cache'), ...tarballs], { cwd: dir, timeoutMs });
  const integrity = (file: string) =>
    `sha512-${createHash('sha512').update(readFileSync(file)).digest('base64')}`;
  return new Map(names.map((name, i) => [name, integrity(tarballs[i]!)]));
}

/** A project in the layer, whose lock file names packages that are in an npm cache outside of it. */
export const NPM_PROJECT: Fixture = {
  name: 'npm-project',
  async build(dir, sizes) {
    const lower = join(dir, 'l0');
    const writer = new TreeWriter();
    const cached = await fillCache(dir, sizes.packages);
    const root = {
      name: 'app',
      version: '1.0.0',
      dependencies: Object.fromEntries([...cached.keys()].map((name) => [name, '1.0.0'])),
    };
    const packages: Record<string, unknown> = { '': root };
    for (const [name, integrity] of cached) {
      const resolved = `https://packages.invalid/${name}-1.0.0.tgz`;
      packages[`node_modules/${name}`] = { version: '1.0.0', resolved, integrity };
    }
    const lock = { name: 'app', version: '1.0.0', lockfileVersion: 3, requires: true, packages };
    writer.file(join(lower, 'app', 'package.json'), JSON.stringify(root));
    writer.file(join(lower, 'app', 'package-lock.json'), JSON.stringify(lock));
    return { lowers: [lower], plain: lower, lists: { cache: join(dir, 'cache') } };
  },
};
