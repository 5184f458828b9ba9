/**
 * What other processes can learn about a mount: one read-only report. The serving process listens on a unix socket named
 * after the mount's device number, in a directory of its own user; a client that connects receives the report as one JSON
 * document, and the connection is closed. Nothing is ever read from it, so there is no request to parse and no command
 * to accept.
 */
import { constants, lstatSync, readdirSync, rmSync, type Stats } from 'node:fs';
import { type FileHandle, mkdir, open, stat } from 'node:fs/promises';
import { createConnection, createServer, type Server } from 'node:net';
import { setTimeout as pause } from 'node:timers/promises';
import { rowOf } from '../fuse/optable.js';
import type { OverlayOptions } from '../overlay/config.js';
import { printOptions } from '../overlay/options.js';
import { isSystemError, majorOf, minorOf, readMounts, umask } from '../sys/index.js';
import type { Stats as Counts } from './counters.js';
import { type MountReport, parseReport } from './mount-report.js';
import { removeStaleSockets } from './stale-sockets.js';

/** Directory of a system-wide service. */
const SYSTEM = '/run/plyfs';
/** A report is a few KiB per hundred layers. */
const MAX_REPORT = 16 << 20;
const TIMEOUT = 5000;

/**
 * Where this process may listen, in order of preference. Root of a user namespace may not write to /run. A user's runtime
 * directory exists whenever that user is logged in, but su, cron and the like do not set the variable.
 */
function ownDirectories(): string[] {
  const uid = process.geteuid!();
  const runtime = process.env['XDG_RUNTIME_DIR'] || (uid === 0 ? '' : `/run/user/${uid}`);
  const own = runtime === '' ? [] : [`${runtime}/plyfs`];
  return uid === 0 ? [SYSTEM, ...own] : own;
}

function socketName(device: string): string {
  return `${device.replace(':', '-')}.sock`;
}

/** What is at a path; null for nothing, or nothing that this user may see. */
function statOf(path: string): Stats | null {
  try {
    return lstatSync(path);
  } catch (error) {
    if (isSystemError(error)) return null;
    throw error;
  }
}

/** Whether only `uids` can have put sockets into a directory. */
function isPrivate(directory: string, uids: readonly number[]): boolean {
  const stat = statOf(directory);
  return stat?.isDirectory() === true && uids.includes(stat.uid) && (stat.mode & 0o022) === 0;
}

/** What a report is made of. */
export interface Reported {
  readonly mountpoint: string;
  readonly options: OverlayOptions;
  readonly stats: () => Counts;
  /** ISO 8601. */
  readonly startedAt: string;
}

function report(of: Reported): MountReport {
  const { lowerdir, datadir, upperdir, workdir, userxattr, readOnly } = of.options;
  const { rss, heapUsed, external } = process.memoryUsage();
  const stats = of.stats();
  const names = Object.fromEntries(
    Object.keys(stats.requests).map((code) => [code, rowOf(Number(code)).name]),
  );
  return {
    version: 1,
    pid: process.pid,
    mountpoint: of.mountpoint,
    startedAt: of.startedAt,
    options: { lowerdir, datadir, upperdir, workdir, userxattr, readOnly },
    optionText: printOptions(of.options),
    stats,
    names,
    memory: { rss, heapUsed, external },
    descriptors: readdirSync('/proc/self/fd').length,
  };
}

/** An open control socket. */
export interface Control {
  close(): void;
}

function isOn({ dev }: Stats, device: string): boolean {
  return `${majorOf(dev)}:${minorOf(dev)}` === device;
}

/**
 * An open directory to listen in; null when it is unavailable, or when the mount `device` covers it: creating a socket there
 * would send a request to ourselves.
 */
async function openDirectory(path: string, device: string): Promise<FileHandle | null> {
  try {
    await mkdir(path, { recursive: true, mode: 0o700 });
    const directory = await open(path, constants.O_DIRECTORY);
    if (!isOn(await directory.stat(), device) && isPrivate(path, [process.geteuid!()])) return directory;
    await directory.close();
    return null;
  } catch (error) {
    if (isSystemError(error)) return null;
    throw error;
  }
}

async function firstDirectory(device: string): Promise<FileHandle | null> {
  for (const path of ownDirectories()) {
    const directory = await openDirectory(path, device);
    if (directory !== null) return directory;
  }
  return null;
}

/**
 * Starts answering for the mount on `device` (`major:minor`). The socket is a convenience: where none can be made (no
 * runtime directory, read-only /run), the result is null and the mount works regardless.
 */
export async function openControl(device: string, of: Reported): Promise<Control | null> {
  // Creating its first socket, libuv opens /dev/null, on the thread that may have to serve that very open.
  if (isOn(await stat('/dev/null'), device)) return null;
  const directory = await firstDirectory(device);
  if (directory === null) return null;
  const place = `/proc/self/fd/${directory.fd}`;
  const path = `${place}/${socketName(device)}`;
  // The device number is ours while we are mounted, so a socket of that name belongs to a dead server.
  rmSync(path, { force: true });
  const server: Server = createServer((connection) => {
    connection.on('error', () => connection.destroy());
    connection.end(`${JSON.stringify(report(of))}\n`);
  });
  server.on('error', () => {});
  // The serving thread has no umask, and is usually this one.
  const mask = umask(0o177);
  server.listen(path);
  umask(mask);
  server.unref();
  removeStaleSockets(place);
  return {
    close: () => {
      server.close();
      rmSync(path, { force: true });
      void directory.close();
    },
  };
}

/** Directories that may hold a mount's socket, with the users that may own them. */
function candidates(): [string, readonly number[]][] {
  const uid = process.geteuid!();
  const found: [string, readonly number[]][] = [[SYSTEM, [0]]];
  for (const own of ownDirectories()) if (own !== SYSTEM) found.push([own, [uid]]);
  if (uid !== 0) return found;
  const users = statOf('/run/user') !== null ? readdirSync('/run/user') : [];
  for (const user of users) found.push([`/run/user/${user}/plyfs`, [Number(user)]]);
  return found;
}

function ask(path: string): Promise<MountReport | null> {
  return new Promise((resolve) => {
    const chunks: Buffer[] = [];
    let size = 0;
    const connection = createConnection(path);
    connection.setTimeout(TIMEOUT, () => connection.destroy());
    connection.on('data', (chunk: Buffer) => {
      size += chunk.length;
      if (size > MAX_REPORT) connection.destroy();
      else chunks.push(chunk);
    });
    connection.on('error', () => {});
    connection.on('close', () => resolve(parseReport(Buffer.concat(chunks).toString('utf8'))));
  });
}

/** The uid that mounted `device` according to the kernel; this user's when the mount is not visible here. */
function ownerOf(device: string): number {
  const mount = readMounts().find((one) => one.device === device);
  const match = /(?:^|,)user_id=(\d+)(?:,|$)/.exec(mount?.superOptions ?? '');
  return match === null ? process.geteuid!() : Number(match[1]);
}

/** {@link askMount} without patience; `absent`: there is no socket where this user would see it. */
async function askNow(device: string, own: number, owner: number): Promise<MountReport | 'absent' | null> {
  let isThere = own !== 0 && own !== owner;
  for (const [directory, uids] of candidates()) {
    if (!uids.includes(owner) || !isPrivate(directory, uids)) continue;
    if (uids.includes(own)) removeStaleSockets(directory);
    const path = `${directory}/${socketName(device)}`;
    if (statOf(path)?.isSocket() !== true) continue;
    isThere = true;
    const answer = await ask(path);
    if (answer !== null) return answer;
  }
  return isThere ? null : 'absent';
}

/** Milliseconds to wait for the socket of a new mount, which opens it after it has begun to answer. */
const PATIENCE = 2000;
const STEP = 50;

/** The report of the mount on `device` (`major:minor`); null when no trustworthy server answers for it. */
export async function askMount(device: string): Promise<MountReport | null> {
  const own = process.geteuid!();
  const owner = ownerOf(device);
  for (let waited = 0; ; waited += STEP) {
    const answer = await askNow(device, own, owner);
    if (answer !== 'absent') return answer;
    if (waited >= PATIENCE || !readMounts().some((mount) => mount.device === device)) return null;
    await pause(STEP);
  }
}
