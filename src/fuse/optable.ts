/** The op table: opcode -> row. The rows are in `ops-*.ts`. */
import { ENOSYS } from '../sys/errno.js';
import type { OpRow } from './exchange.js';
import { attrOps } from './ops-attr.js';
import { dirOps } from './ops-dir.js';
import { fileOps } from './ops-file.js';
import { nameOps } from './ops-names.js';
import { sessionOps } from './ops-session.js';

/** All rows. */
export const allOps: readonly OpRow[] = [...nameOps, ...attrOps, ...fileOps, ...dirOps, ...sessionOps];

/** For an opcode newer than this code. */
export const UNKNOWN: OpRow = { code: 0, name: 'UNKNOWN', args: 0, handle: () => -ENOSYS };

function dense(rows: readonly OpRow[]): readonly OpRow[] {
  const table = new Array<OpRow>(Math.max(...rows.map((row) => row.code)) + 1).fill(UNKNOWN);
  for (const row of rows) table[row.code] = row;
  return table;
}

/** Rows by opcode, without holes. */
export const table: readonly OpRow[] = dense(allOps);

/** The row for an opcode; {@link UNKNOWN} for one that has none. */
export function rowOf(opcode: number): OpRow {
  return opcode < table.length ? table[opcode]! : UNKNOWN;
}
