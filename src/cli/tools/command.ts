/** The shape of the commands that work with layers, and what they share: arguments, output, progress. */
import { writeSync } from 'node:fs';
import type { Argv } from 'yargs';
import { UserError } from '../../overlay/user-error.js';
import { isSystemError } from '../../sys/errno.js';
import { UsageError } from '../usage-error.js';

/** Parsed options by their camel-case names; text is latin1, one char a byte. */
export type Parsed = Readonly<Record<string, unknown>>;

/** A command: its help, its options, and its action. */
export interface ToolCommand {
  /** Name and positionals, as yargs takes them. */
  readonly syntax: string;
  /** What help shows instead of the syntax, where yargs can't express it. */
  readonly usage?: string;
  /** Added to the message about an unexpected word; begins with a semicolon. */
  readonly unknownHint?: string;
  readonly describe: string;
  readonly examples: readonly (readonly [string, string])[];
  /** Without code 2, which is the same everywhere. */
  readonly exitCodes: string;
  /** Exit code when it fails, where that is not 1 (and 2 for a command line that can't be understood). */
  readonly failureCode?: (isUsage: boolean) => number;
  readonly options: (y: Argv) => Argv;
  /** Resolves to the exit code. */
  readonly run: (parsed: Parsed) => Promise<number>;
}

/** Exit codes of a command that has no others. */
export const USUAL_CODES = '0 done; 1 it failed, for the reason printed';

/** All values of an option. */
export function texts(value: unknown): string[] {
  if (value === undefined) return [];
  return Array.isArray(value) ? value.map(String) : [String(value)];
}

/** The last value of an option. */
export function text(value: unknown): string | null {
  return texts(value).at(-1) ?? null;
}

/** A path from the command line as the tools take it: its bytes. */
export function path(value: unknown): Buffer {
  return Buffer.from(text(value) ?? '', 'latin1');
}

/** All values of an option as paths. */
export function paths(value: unknown): Buffer[] {
  return texts(value).map((one) => Buffer.from(one, 'latin1'));
}

/** A boolean option; undefined when it is not given. */
export function flag(parsed: Parsed, name: string): boolean | undefined {
  return parsed[name] === undefined ? undefined : parsed[name] === true;
}

/** A whole number; undefined when it is not given. Throws a UsageError. */
export function count(parsed: Parsed, name: string): number | undefined {
  const given = text(parsed[name]);
  if (given === null) return undefined;
  if (/^\d{1,15}$/.test(given)) return Number(given);
  const option = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
  throw new UsageError(`--${option} takes a whole number, not '${given}'.`);
}

/**
 * Writes a whole text, however long, even to a pipe that fills up. Throws a {@link UserError} when writing to stdout fails; a
 * failure to write to stderr is ignored.
 */
export function print(content: string, fd: 1 | 2 = 1): void {
  const bytes = Buffer.from(content, 'utf8');
  for (let at = 0; at < bytes.length; ) {
    try {
      at += writeSync(fd, bytes, at);
    } catch (error) {
      const code = isSystemError(error) ? error.code : null;
      // The reader is gone.
      if (code === 'EPIPE' || (fd === 2 && code !== 'EAGAIN')) return;
      if (code !== 'EAGAIN')
        throw new UserError(
          `can't write the output: ${code === 'ENOSPC' ? 'no space is left' : String(code)}.`,
        );
      Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 5);
    }
  }
}

/** Prints a result for programs. */
export function printJson(value: unknown): void {
  print(`${JSON.stringify(value, null, 2)}\n`);
}

/** A progress line on stderr, overwritten by the next one; only on a terminal. */
export class Progress {
  readonly #isOn: boolean;
  #last = 0;
  #shown = false;

  constructor() {
    this.#isOn = process.stderr.isTTY === true;
  }

  show(line: string): void {
    const now = Date.now();
    if (!this.#isOn || now - this.#last < 100) return;
    this.#last = now;
    this.#shown = true;
    print(`\r\u001b[K${line.slice(0, (process.stderr.columns ?? 80) - 1)}`, 2);
  }

  /** Shows progress while `work` runs, and erases the line in any case. */
  static async while<T>(work: (progress: Progress) => T | Promise<T>): Promise<T> {
    const progress = new Progress();
    try {
      return await work(progress);
    } finally {
      progress.#done();
    }
  }

  #done(): void {
    if (this.#shown) print('\r\u001b[K', 2);
    this.#shown = false;
  }
}
