/**
 * `npm run oracle -- --minutes 10 --seed 1 [--options xino=on,volatile]`: the long run of random scenarios on kernel
 * overlayfs and plyfs.
 */
import { parseArgs } from 'node:util';
import { kernel, plyfs } from '../support/drivers.js';
import { describeFinding, random } from './random.js';

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 1_000_000_000) },
    most: { type: 'string', default: '5' },
    options: { type: 'string' },
  },
});

for (const driver of [kernel, plyfs]) {
  const reason = await driver.unavailable();
  if (reason === null) continue;
  console.error(`can't run: ${reason}`);
  process.exit(2);
}

console.log(`seed ${values.seed}, ${values.minutes} min`);
const result = await random(
  { kernel, plyfs },
  {
    seed: Number(values.seed),
    milliseconds: Number(values.minutes) * 60_000,
    most: Number(values.most),
    options: values.options?.split(',') ?? null,
    onFinding: (finding) => console.log(`\n${describeFinding(finding)}`),
  },
);
for (const problem of result.problems) console.log(`\n${problem}`);
console.log(
  `\n${result.scenarios} scenarios, ${result.findings.length} differ, ${result.problems.length} problems`,
);
process.exit(result.findings.length + result.problems.length > 0 ? 1 : 0);
