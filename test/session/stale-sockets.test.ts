/** Dead control sockets. `test/tools/stats.test.ts` tests them in their real directory. */
import assert from 'node:assert/strict';
import { once } from 'node:events';
import { mkdtempSync, readdirSync, rmSync, utimesSync } from 'node:fs';
import { createConnection, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { it } from 'node:test';
import { removeStaleSockets } from '../../src/session/stale-sockets.js';
import { run } from '../support/exec.js';

it('a dead socket is removed, and the server of a living one is not contacted', async () => {
  const directory = mkdtempSync(join(tmpdir(), 'plyfs-sockets-'));
  const [dead, alive] = ['0-1.sock', '0-2.sock'].map((name) => `${directory}/${name}`) as [string, string];
  let asked = 0;
  const server = createServer((connection) => {
    asked++;
    connection.destroy();
  });
  try {
    const killed = `require("net").createServer().listen("${dead}", () => process.kill(process.pid, "SIGKILL"))`;
    await run(process.execPath, ['-e', killed]);
    await once(server.listen(alive), 'listening');
    assert.deepEqual(readdirSync(directory).sort(), ['0-1.sock', '0-2.sock']);
    for (const path of [dead, alive]) utimesSync(path, 1, 1);
    removeStaleSockets(directory);
    assert.deepEqual(readdirSync(directory), ['0-2.sock']);
    // Connections are accepted in order: an earlier one would have been counted.
    await once(createConnection(alive).resume(), 'close');
    assert.equal(asked, 1);
  } finally {
    server.close();
    rmSync(directory, { recursive: true });
  }
});
