/** Messages of the command line to people. */
import { writeSync } from 'node:fs';

/** Names of the errors that report a user's mistake; compared by name, so that their classes need not be loaded. */
const MISTAKES = new Set(['UserError', 'UsageError']);

/** Writes to stderr at once; latin1 text comes out as the bytes it stands for. A failure to write is ignored. */
function put(text: string): void {
  try {
    writeSync(2, Buffer.from(text, 'latin1'));
  } catch {
    // It is closed, or a file on a full disk. The work continues regardless, and the exit code says how it ended.
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is meant
const CONTROL = /[\u0000-\u001f\u007f]/g;

/** Names in a message may hold anything: a newline would split it, and escape sequences would reach the terminal. */
function oneLine(message: string): string {
  return message.replace(CONTROL, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** Prints one sentence for a user's mistake, a stack for a bug. */
export function printError(error: unknown): void {
  if (error instanceof Error && MISTAKES.has(error.name)) put(`plyfs: ${oneLine(error.message)}\n`);
  else put(`plyfs: internal error: ${error instanceof Error ? error.stack : String(error)}\n`);
}

/** Prints in what a mount differs from what was asked for. */
export function printWarning(sentence: string): void {
  put(`plyfs: warning: ${oneLine(sentence)}\n`);
}
