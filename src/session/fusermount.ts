/**
 * Mounting without privilege, by the set-user-id program fusermount3 (or fusermount) of the fuse package. Node's child
 * process module is loaded only when it is used, so that privileged mounts start faster.
 */
import { accessSync, constants } from 'node:fs';
import { UserError } from '../overlay/user-error.js';
import * as sys from '../sys/index.js';

const NAMES = ['fusermount3', 'fusermount'];
/** Where distributions install it, for a PATH that lacks it (systemd units, cron). */
const USUAL_PLACES = ['/usr/bin', '/bin', '/usr/local/bin', '/usr/sbin', '/sbin'];

function isExecutable(file: string): boolean {
  try {
    accessSync(file, constants.X_OK);
    return true;
  } catch (error) {
    if (sys.isSystemError(error)) return false;
    throw error;
  }
}

/** Path of fusermount3 or fusermount; null when neither is installed. */
export function findFusermount(): string | null {
  const places = [
    ...(process.env['PATH'] ?? '').split(':').filter((p) => p.startsWith('/')),
    ...USUAL_PLACES,
  ];
  for (const name of NAMES) {
    for (const place of places) {
      if (isExecutable(`${place}/${name}`)) return `${place}/${name}`;
    }
  }
  return null;
}

/** A latin1 string as an argument for spawn(), which encodes strings as UTF-8: decoded here, so that the bytes survive. */
function argument(bytes: string): string {
  return Buffer.from(bytes, 'latin1').toString('utf8');
}

/** What fusermount printed, as one line without the program's name. */
function complaint(stderr: Buffer): string {
  const line = stderr.toString('latin1').trim().split('\n')[0] ?? '';
  return line.replace(/^\S*fusermount3?: /, '') || 'it gave no reason';
}

/** Mounts at `target` with comma-separated fusermount options. Resolves to a descriptor of /dev/fuse, or to an error text. */
export async function fusermount(program: string, target: string, options: string): Promise<number | string> {
  const { spawnSync } = await import('node:child_process');
  const pair = sys.socketpair();
  if (typeof pair === 'number') throw new UserError(`can't make a socket pair: ${sys.errnoName(pair)}.`);
  const [ours, theirs] = pair;
  try {
    const done = spawnSync(program, ['-o', argument(options), '--', argument(target)], {
      stdio: ['ignore', 'ignore', 'pipe', theirs],
      env: { ...process.env, _FUSE_COMMFD: '3' },
    });
    if (done.error !== undefined) return done.error.message;
    if (done.status !== 0) return complaint(done.stderr);
    // It has exited: its message is in the socket by now, or will never come.
    sys.setNonblocking(ours, true);
    const fd = sys.receiveDescriptor(ours);
    return fd === null || fd < 0 ? 'it handed over no descriptor' : fd;
  } finally {
    sys.close(ours);
    sys.close(theirs);
  }
}

/** Unmounts with fusermount. Resolves to null, or to an error text. */
export async function fuserunmount(program: string, target: string, lazy: boolean): Promise<string | null> {
  const { spawn } = await import('node:child_process');
  return await new Promise((resolve) => {
    const args = ['-u', ...(lazy ? ['-z'] : []), '--', argument(target)];
    const child = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe'] });
    const said: Buffer[] = [];
    child.stderr.on('data', (chunk: Buffer) => said.push(chunk));
    child.on('error', (error) => resolve(error.message));
    child.on('close', (code) => resolve(code === 0 ? null : complaint(Buffer.concat(said))));
  });
}
