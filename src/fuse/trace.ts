/** One line per request and one per reply, for people. */
import { errnoName } from '../sys/errno.js';
import type { Exchange, OpRow } from './exchange.js';
import { Malformed, type Request } from './request.js';

/** A latin1 name in quotes; bytes that are not printable ASCII as \xNN. */
export function quote(name: string): string {
  const plain = name.replace(
    // biome-ignore lint/suspicious/noControlCharactersInRegex: names are bytes
    /[\x00-\x1f"\\\x7f-\xff]/g,
    (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
  return `"${plain}"`;
}

/** Arguments of a request that reads or writes part of an open file or directory. */
export function showRange(r: Request): string {
  return `fh ${r.u64(0)} offset ${r.u64(8)} size ${r.u32(16)}`;
}

/** The kernel's number of the request; a set high half marks a resent one. */
function numberOf(r: Request): string {
  return `#${r.uniqueHi === 0 ? r.uniqueLo : `${r.uniqueHi.toString(16)}:${r.uniqueLo.toString(16)}`}`;
}

function nameOf(row: OpRow, r: Request): string {
  return row.code === 0 ? `opcode ${r.opcode}` : row.name;
}

function argumentsOf(row: OpRow, r: Request): string {
  if (row.show === undefined || r.size < row.args) return '';
  try {
    return ` ${row.show(r)}`;
  } catch (error) {
    if (error instanceof Malformed) return ` (malformed: ${error.reason})`;
    throw error;
  }
}

/** `#12 LOOKUP node 1 "etc" pid 4711 uid 0 gid 0` */
export function requestLine(row: OpRow, r: Request): string {
  const { pid, uid, gid } = r.caller;
  return `${numberOf(r)} ${nameOf(row, r)} node ${r.node}${argumentsOf(row, r)} pid ${pid} uid ${uid} gid ${gid}`;
}

/** How a request ended. */
export interface Outcome {
  /** Size of the reply's body, or -errno. */
  readonly result: number;
  /** What failed, as named by the filesystem. */
  readonly what: string;
  /** Duration in milliseconds. */
  readonly took: number;
}

/** `#12 LOOKUP = node 5, 128 bytes, 14 µs` or `#12 UNLINK = EACCES (unlinkat), 14 µs` */
export function replyLine(row: OpRow, x: Exchange, end: Outcome): string {
  const took = `${Math.round(end.took * 1000)} µs`;
  const start = `${numberOf(x.request)} ${nameOf(row, x.request)} =`;
  if (end.result < 0) {
    const what = end.what === '' ? '' : ` (${end.what})`;
    return `${start} ${errnoName(end.result)}${what}, ${took}`;
  }
  if (row.replies === false) return `${start} no reply, ${took}`;
  const granted = row.grants === undefined ? '' : `${row.grants.show(x)}, `;
  return `${start} ${granted}${end.result} bytes, ${took}`;
}

/** The request waits for a job. */
export function parkedLine(row: OpRow, r: Request, job: number): string {
  return `${numberOf(r)} ${nameOf(row, r)} = parked on job ${job}`;
}
