/** `plyfs stats` and the socket behind it. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, statSync } from 'node:fs';
import { after, before, describe, it } from 'node:test';
import type { MountStats } from '../../src/cli/tools/stats.js';
import * as api from '../../src/index.js';
import { plyfs } from '../support/drivers.js';
import { Scratch } from '../support/scratch.js';
import { CLI, cannotMount, changed, shell, stackDirs, tool, toolJson } from './support.js';

describe('plyfs stats', () => {
  const scratch = new Scratch();
  let reason: string | null = null;
  before(async () => {
    reason = await cannotMount();
  });
  after(() => scratch.dispose());

  it('counts requests of a live mount, in three formats, and watches', async (t) => {
    if (reason !== null) return t.skip(reason);
    const dirs = stackDirs(scratch);
    await shell(`mkdir ${dirs.lower}/d; echo four > ${dirs.lower}/d/x`);
    let socket = '';
    const whileMounted = async (): Promise<void> => {
      const stats = await toolJson<MountStats>(['stats', dirs.merged]);
      const mkdirs = stats.requests.find(({ name }) => name === 'MKDIR')!;
      assert.equal(mkdirs.count, 3);
      assert.ok(mkdirs.microseconds > 0 && stats.rss > 1 << 20 && stats.bugs === 0);
      assert.equal(stats.mountpoint, dirs.merged);
      assert.deepEqual([stats.copyUps, stats.copiedBytes], [2, 5]);
      assert.match(
        (await tool(['stats', dirs.merged])).stdout,
        /\nrequest +count +mean\n[\s\S]*MKDIR +3 +\d+ \S+s\n/,
      );
      const metrics = (await tool(['stats', dirs.merged, '--prometheus'])).stdout;
      assert.match(metrics, /^plyfs_requests_total\{mount=".*",request="MKDIR"\} 3$/m);
      const device = await shell(`grep ' ${dirs.merged} ' /proc/self/mountinfo | cut -d' ' -f3`);
      socket = `/run/plyfs/${device.trim().replace(':', '-')}.sock`;
      assert.equal(statSync('/run/plyfs').mode & 0o777, 0o700);
      const report = await api.askMount(device.trim());
      assert.deepEqual(report!.options.lowerdir, [dirs.lower]);
      await watched(dirs.merged);
    };
    await changed(dirs, 'mkdir a b c; echo y >> d/x', { driver: plyfs, whileMounted });
    // The server takes its socket away when it has seen the end of the mount.
    for (let i = 0; i < 100 && existsSync(socket); i++)
      await new Promise((resolve) => setTimeout(resolve, 50));
    assert.equal(existsSync(socket), false);
    const none = await tool(['stats', dirs.merged]);
    assert.equal(none.code, 1);
    assert.match(none.stderr, /^plyfs: '.*' is on no plyfs mount\.\n$/);
  });

  /** The second report has only what happened since the first. */
  async function watched(path: string): Promise<void> {
    const child = spawn(process.execPath, [CLI, 'stats', path, '--watch', '0.3', '--json'], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let text = '';
    const twoLines = new Promise<void>((resolve) => {
      child.stdout.on('data', (chunk: Buffer) => {
        text += chunk.toString();
        if (text.split('\n').length > 2) resolve();
      });
    });
    await twoLines;
    child.kill();
    const second = JSON.parse(text.split('\n')[1]!) as MountStats;
    assert.equal(
      second.requests.find(({ name }) => name === 'MKDIR'),
      undefined,
    );
  }
});
