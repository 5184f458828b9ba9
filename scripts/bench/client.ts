/**
 * The client side of a measurement: a process that synchronously runs one operation per line of standard input, and
 * answers with one line. It outlives mounts, so that its code is already compiled when it is measured; it keeps nothing open
 * between operations.
 */

import { readSync, writeSync } from 'node:fs';
import { type ClientArgs, OPERATIONS } from './client-ops.js';

interface Request {
  readonly op: string;
  readonly args: ClientArgs;
}

function answer(line: string): string {
  const request = JSON.parse(line) as Request;
  const operation = OPERATIONS[request.op];
  if (operation === undefined) return JSON.stringify({ error: `no operation ${request.op}` });
  try {
    return JSON.stringify({ value: operation(request.args) });
  } catch (error) {
    return JSON.stringify({ error: (error as Error).message });
  }
}

function main(): void {
  const chunk = Buffer.alloc(65536);
  let pending = '';
  for (;;) {
    const length = readSync(0, chunk, 0, chunk.length, null);
    if (length === 0) return;
    pending += chunk.toString('utf8', 0, length);
    for (let end = pending.indexOf('\n'); end >= 0; end = pending.indexOf('\n')) {
      const line = pending.slice(0, end);
      pending = pending.slice(end + 1);
      writeSync(1, `${answer(line)}\n`);
    }
  }
}

main();
