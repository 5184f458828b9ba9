/**
 * The log of this process. Lines are written with write(2) as they happen: the session thread has no event loop that
 * would flush a stream, and the last lines before a crash are the interesting ones. pino is loaded only for JSON, and
 * before mounting, since the mount may cover its files.
 */
import { writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { isSystemError } from '../sys/errno.js';
import type { Log } from '../vfs/log.js';

/** Levels, most verbose first. */
export const LOG_LEVELS = ['trace', 'debug', 'info', 'warn', 'error', 'silent'] as const;
export type LogLevel = (typeof LOG_LEVELS)[number];

/** Where the log goes; plain data, so that every thread binds its own {@link Log} to the same descriptor. */
export interface LogTarget {
  /** -1: nowhere. */
  readonly fd: number;
  readonly level: LogLevel;
  /** JSON lines for files, readable text for a terminal. */
  readonly format: 'json' | 'text';
}

export const NO_LOG: LogTarget = { fd: -1, level: 'silent', format: 'text' };

type Level = 'debug' | 'info' | 'warn' | 'error';
type Write = (level: Level, fields: object, text: string) => void;

/** Bytes of log to keep while the disk is full; further lines are dropped. */
const MOST_UNWRITTEN = 1 << 20;

function jsonWriter(target: LogTarget): Write {
  const { pino } = createRequire(import.meta.url)('pino') as typeof import('pino');
  const destination = pino.destination({ fd: target.fd, sync: true, maxLength: MOST_UNWRITTEN });
  // A log that can't be written (full disk) must not disturb the mount: without a listener every line would throw.
  destination.on('error', () => {});
  const logger = pino({ level: target.level, base: { pid: process.pid } }, destination);
  return (level, fields, text) => logger[level](fields, text);
}

function asText(value: unknown): string {
  if (typeof value === 'string') return /^[\w./:@%+-]+$/.test(value) ? value : JSON.stringify(value);
  if (value instanceof Error) return value.stack ?? value.message;
  return JSON.stringify(value) ?? String(value);
}

function textWriter(target: LogTarget): Write {
  return (level, fields, text) => {
    const time = new Date().toISOString().slice(11, 23);
    const pairs = Object.entries(fields).map(([key, value]) => ` ${key}=${asText(value)}`);
    writeLine(target.fd, `${time} ${level.padEnd(5)} ${text}${pairs.join('')}`);
  };
}

/** Writes a line of text; a failure to write (full disk, closed terminal) is ignored, so as not to disturb the mount. */
export function writeLine(fd: number, text: string): void {
  try {
    writeSync(fd, `${text}\n`);
  } catch (error) {
    if (!isSystemError(error)) throw error;
  }
}

/** The stack of something thrown, for a log. */
export function stackOf(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}

const SILENT: Log = { debug: () => {}, info: () => {}, warn: () => {}, error: () => {} };

/** Binds a log to its target on this thread. */
export function openLog(target: LogTarget): Log {
  if (target.fd < 0) return SILENT;
  const write = target.format === 'json' ? jsonWriter(target) : textWriter(target);
  const threshold = LOG_LEVELS.indexOf(target.level);
  const at =
    (level: Level) =>
    (fields: object, text: string): void => {
      if (LOG_LEVELS.indexOf(level) >= threshold) write(level, fields, text);
    };
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}
