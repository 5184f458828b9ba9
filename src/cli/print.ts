/** What the command line says to a person. */
import { writeSync } from 'node:fs';

/** A mistake of the user has one of these names; their classes are not loaded for it. */
const MISTAKES = new Set(['UserError', 'UsageError']);

/** Writes to stderr at once; latin1 text comes out as the bytes that it stands for. Where it can't be written, nobody is told. */
function put(text: string): void {
  try {
    writeSync(2, Buffer.from(text, 'latin1'));
  } catch {
    // It is closed, or a file on a full disk: what was to be done is done all the same, and its exit code says how it went.
  }
}

// biome-ignore lint/suspicious/noControlCharactersInRegex: these are what is meant
const CONTROL = /[\u0000-\u001f\u007f]/g;

/** Names in a message may hold anything: a newline would make two lines of it, and others are orders to a terminal. */
function oneLine(message: string): string {
  return message.replace(CONTROL, (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** One sentence, for a mistake of the user; a stack, for one of ours. */
export function printError(error: unknown): void {
  if (error instanceof Error && MISTAKES.has(error.name)) put(`plyfs: ${oneLine(error.message)}\n`);
  else put(`plyfs: internal error: ${error instanceof Error ? error.stack : String(error)}\n`);
}

/** What a mount does otherwise than was asked for. */
export function printWarning(sentence: string): void {
  put(`plyfs: warning: ${oneLine(sentence)}\n`);
}
