/** The oracle itself: it finds no differences between equal filesystems, and finds planted ones. */
import assert from 'node:assert/strict';
import { existsSync } from 'node:fs';
import { describe, it } from 'node:test';
import { type Driver, kernel } from '../support/drivers.js';
import { Chance, generate } from './generator.js';
import { judge } from './run.js';
import type { Scenario } from './scenario.js';
import { shrink } from './shrink.js';

/** Kernel overlayfs with something about the stack changed. */
function changed(change: (stack: Parameters<Driver['mount']>[0]) => Parameters<Driver['mount']>[0]): Driver {
  return { ...kernel, name: 'plyfs', mount: (stack, at) => kernel.mount(change(stack), at) };
}

const withOption = (option: string): Driver =>
  changed((stack) => ({ ...stack, options: [...(stack.options ?? []), option] }));

async function differences(subject: Driver, scenario: Scenario): Promise<readonly string[]> {
  const { verdicts } = await judge({ kernel, plyfs: subject }, [scenario]);
  return verdicts[0]!.differences;
}

describe('the oracle', () => {
  it('finds kernel overlayfs equal to itself', async (t) => {
    const reason = await kernel.unavailable();
    if (reason !== null) return t.skip(reason);
    const { verdicts, problems } = await judge(
      { kernel, plyfs: kernel },
      Array.from({ length: 30 }, (_, i) => generate(1000 + i)),
    );
    assert.deepEqual(problems, []);
    assert.deepEqual(
      verdicts.flatMap((verdict) => verdict.differences),
      [],
    );
  });

  it('detects a different result', async (t) => {
    const reason = await kernel.unavailable();
    if (reason !== null) return t.skip(reason);
    const found = await differences(withOption('redirect_dir=on'), {
      lower: [['put d/f x']],
      steps: ['rename d e'],
    });
    assert.match(found[0] ?? '', /^step 1 \(rename d e\): result EXDEV \| ok$/);
  });

  it('detects a different merged view', async (t) => {
    const reason = await kernel.unavailable();
    if (reason !== null) return t.skip(reason);
    const reversed = changed((stack) => ({ ...stack, lower: [...stack.lower].reverse() }));
    const found = await differences(reversed, {
      lower: [['put f top'], ['put f low']],
      steps: ['stat f mode'],
    });
    assert.match(found[0] ?? '', /^step 1 .*merged "f": file .*"top" \| file .*"low"$/);
  });

  it('detects a different upper layer', async (t) => {
    const reason = await kernel.unavailable();
    if (reason !== null) return t.skip(reason);
    const found = await differences(withOption('metacopy=on'), {
      lower: [['put f text']],
      steps: ['chmod f 600'],
    });
    assert.match(found[0] ?? '', /^step 1 .*upper "f": .*metacopy/);
  });

  it('detects that another filesystem reads the same layers differently', async (t) => {
    const reason = await kernel.unavailable();
    if (reason !== null) return t.skip(reason);
    // A driver that omits a lower layer after the steps are done: at the cross mount.
    const forgetful = changed((stack) =>
      existsSync(`${stack.upper}/0/done`) ? { ...stack, lower: stack.lower.slice(0, 1) } : stack,
    );
    const found = await differences(forgetful, { lower: [['put f x'], ['put g y']], steps: ['put done x'] });
    assert.ok(
      found.some((line) => /^the kernel wrote it, itself \| plyfs reads: merged "g"/.test(line)),
      found.join('\n'),
    );
  });

  it('shrinks a failure to its core', async (t) => {
    const reason = await kernel.unavailable();
    if (reason !== null) return t.skip(reason);
    const noise = Array.from({ length: 12 }, (_, i) => `put n${i} x`);
    const scenario: Scenario = {
      lower: [['put d/f x', ...noise], ['put z y']],
      steps: [...noise.map((_, i) => `unlink n${i}`), 'rename d e', 'stat e'],
      lenient: true,
    };
    const pair = { kernel, plyfs: withOption('redirect_dir=on') };
    const small = await shrink(pair, scenario, Date.now() + 300_000);
    assert.deepEqual(small.steps, ['rename d e']);
    assert.deepEqual(small.lower, [['put d/f x'], []]);
  });

  it('generates the same scenario from the same seed', () => {
    assert.deepEqual(generate(7), generate(7));
    assert.notDeepEqual(generate(7), generate(8));
    const chance = new Chance(1);
    assert.ok(Array.from({ length: 1000 }, () => chance.next()).every((value) => value >= 0 && value < 1));
  });
});
