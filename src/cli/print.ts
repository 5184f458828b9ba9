/** What the command line says to a person. */
import { writeSync } from 'node:fs';

/** A mistake of the user has one of these names; their classes are not loaded for it. */
const MISTAKES = new Set(['UserError', 'UsageError']);

/** Writes to stdout or stderr at once; latin1 text comes out as the bytes that it stands for. */
function put(fd: number, text: string): void {
  writeSync(fd, Buffer.from(text, 'latin1'));
}

/** One sentence, for a mistake of the user; a stack, for one of ours. */
export function printError(error: unknown): void {
  if (error instanceof Error && MISTAKES.has(error.name)) put(2, `plyfs: ${error.message}\n`);
  else put(2, `plyfs: internal error: ${error instanceof Error ? error.stack : String(error)}\n`);
}

export function printWarning(sentence: string): void {
  put(2, `plyfs: warning: ${sentence}\n`);
}

export function printLine(text: string): void {
  put(1, `${text}\n`);
}
