/** Which changes, by which callers, clear set-id bits: the same in both data modes as in kernel overlayfs. */
import assert from 'node:assert/strict';
import { it } from 'node:test';
import { type Driver, kernel, plyfs } from '../support/drivers.js';
import { Fixture } from '../support/fixture.js';
import { Scratch } from '../support/scratch.js';

const MODES = ['2644', '2666', '6777', '4755', '6644'];
/** The files' owner is 1000:100. */
const CALLERS = {
  owner: '1000:1000',
  'supplementary-member': '2000:2000 100',
  outsider: '2000:2000',
  root: '0:0',
};
/** Steps on an open descriptor `p` of the file; `s` is another file. */
const CHANGES: Readonly<Record<string, (name: string) => string>> = {
  write: () => 'write p 0 y',
  ftruncate: () => 'ftruncate p 3',
  fallocate: () => 'fallocate p 0 0 100',
  copyrange: () => 'copyrange s 0 p 0 1',
  chown: (name) => `chown ${name} :`,
  fchown: () => 'fchown p :',
  chgrp: (name) => `chown ${name} :100`,
};

/** VFS_CAP_REVISION_2 with one effective capability. */
const CAPABILITY = '%01%00%00%02%00%20%00%00%00%00%00%00%00%00%00%00%00%00%00%00';

const made: string[] = ['put source s'];
const steps: string[] = [];

/** A change, by some caller, of a file with this mode. */
function add(what: keyof typeof CHANGES, who: keyof typeof CALLERS, mode: string): string {
  const name = `${what}-by-${who}-${mode}`;
  made.push(`put ${name} text`, `chown ${name} 1000:100`, `chmod ${name} ${mode}`);
  const change = CHANGES[what]!(name);
  steps.push(
    `open p ${name} RDWR`,
    'open s source',
    `user ${CALLERS[who]}`,
    change,
    'user',
    `stat ${name} mode`,
    `getxattr ${name} security.capability 0`,
  );
  return name;
}

for (const what of Object.keys(CHANGES)) {
  for (const who of Object.keys(CALLERS) as (keyof typeof CALLERS)[]) {
    for (const mode of MODES) add(what, who, mode);
  }
}
// A caller with CAP_FSETID keeps set-id bits, but no file capability: both are cleared by the same request.
for (const what of ['write', 'fallocate', 'copyrange', 'chown', 'fchown']) {
  for (const who of ['root', 'outsider'] as const) {
    made.push(`setxattr ${add(what, who, '4775')} security.capability ${CAPABILITY}`);
  }
}

async function results(driver: Driver, options: readonly string[]): Promise<string[]> {
  const scratch = new Scratch();
  const fixture = new Fixture(scratch, driver, { lower: [made], options });
  try {
    await fixture.mount();
    const reports = await fixture.steps(steps);
    const lines: string[] = [];
    for (let i = 0; i < steps.length; i += 7) {
      lines.push(
        `${steps[i]}; ${steps[i + 2]}; ${steps[i + 3]}: ${reports[i + 3]!.result}, ${reports[i + 5]!.result}, ${reports[i + 6]!.result}`,
      );
    }
    return lines;
  } finally {
    await fixture.dispose();
    scratch.dispose();
  }
}

let expected: string[] = [];
for (const mode of ['cached', 'passthrough']) {
  it(`as kernel overlayfs does, data=${mode}`, async (t) => {
    const reason = (await kernel.unavailable()) ?? (await plyfs.unavailable());
    if (reason !== null) return t.skip(reason);
    if (expected.length === 0) expected = await results(kernel, []);
    assert.deepEqual(await results(plyfs, [`data=${mode}`]), expected);
  });
}
