/** The names of the tools are listed in three places, so that a mount loads none of their code. */
import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { test } from 'node:test';
import { fileURLToPath } from 'node:url';
import { TOOL_NAMES } from '../../src/cli/tool-names.js';
import { run } from '../support/exec.js';

const LAUNCHER = fileURLToPath(new URL('../../../scripts/plyfs', import.meta.url));

test('the launcher knows every tool', () => {
  const names = /^ {2}(diff \|[^)]*)\) exec node/m.exec(readFileSync(LAUNCHER, 'latin1'))?.[1];
  assert.deepEqual(names?.split(' | ').sort(), [...TOOL_NAMES].sort());
});

test('every tool has its own help', async () => {
  for (const name of TOOL_NAMES) {
    const { code, stdout } = await run(LAUNCHER, [name, '--help']);
    assert.equal(code, 0, name);
    assert.match(stdout, new RegExp(`^plyfs ${name} `), name);
  }
});
