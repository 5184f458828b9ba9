/**
 * The text of `-o`: how options are separated, quoted and escaped, following the kernel's overlayfs: commas separate options, `\`
 * escapes the next character, colons separate lower directories. In addition, a value may be in double quotes, like SELinux
 * contexts: `context="a:b:c0,c1"`.
 *
 * All text is latin1: one char a byte.
 */

import { UserError } from './user-error.js';

/** One option as typed: `value` is null for a bare name, without surrounding quotes, with its escapes unresolved. */
export interface Option {
  readonly name: string;
  readonly value: string | null;
  /** The option as it was typed. */
  readonly raw: string;
}

/** Position of the closing quote of the quoted text that starts at `at`; -1 when there is none before a comma or the end. */
function closingQuote(text: string, at: number): number {
  for (let i = at + 1; i < text.length; i++) {
    if (text[i] === '\\') i++;
    else if (text[i] === '"' && (i + 1 === text.length || text[i + 1] === ',')) return i;
  }
  return -1;
}

/** Splits the text of one `-o` into options; empty ones are left out. */
export function splitOptions(text: string): Option[] {
  const options: Option[] = [];
  let start = 0;
  let equals = -1;
  const take = (end: number): void => {
    const raw = text.slice(start, end);
    if (raw !== '') options.push(toOption(raw, equals < 0 ? -1 : equals - start));
    start = end + 1;
    equals = -1;
  };
  for (let i = 0; i < text.length; i++) {
    const c = text[i];
    if (c === '\\') i++;
    else if (c === ',') take(i);
    else if (c === '=' && equals < 0) {
      equals = i;
      const close = text[i + 1] === '"' ? closingQuote(text, i + 1) : -1;
      if (close > 0) i = close;
    }
  }
  take(text.length);
  return options;
}

function toOption(raw: string, equals: number): Option {
  if (equals < 0) return { name: raw, value: null, raw };
  const value = raw.slice(equals + 1);
  const quoted = value.startsWith('"') && closingQuote(value, 0) === value.length - 1 && value.length > 1;
  return { name: raw.slice(0, equals), value: quoted ? value.slice(1, -1) : value, raw };
}

/** A value with its escapes resolved: `\,` is a comma. */
export function unescapeValue(value: string): string {
  return value.replace(/\\([\s\S])/g, '$1');
}

/** A path, escaped for {@link splitOptions} and {@link splitLowers}. */
export function escapeValue(path: string): string {
  const escaped = path.replace(/[\\,:]/g, '\\$&');
  return escaped.startsWith('"') ? `\\${escaped}` : escaped;
}

/** The directories of one `lowerdir=` value, unescaped: `a:b::data`. */
export interface Lowers {
  readonly lower: string[];
  readonly data: string[];
}

/** Like ovl_parse_param_lowerdir() and ovl_parse_param_split_lowerdirs(), including their errors. Throws a UserError. */
export function splitLowers(value: string): Lowers {
  const lowers: Lowers = { lower: [], data: [] };
  if (value === '') return lowers;
  const bad = (why: string): UserError => new UserError(`lowerdir='${value}' ${why}.`);
  if (value.startsWith(':')) throw bad('starts with a colon; name a lower directory first');
  let into = lowers.lower;
  let name = '';
  for (let i = 0; i < value.length; i++) {
    if (value[i] === '\\' && i + 1 < value.length) name += value[++i];
    else if (value[i] !== ':') name += value[i];
    else {
      into.push(name);
      name = '';
      const colons = /^:+/.exec(value.slice(i))![0].length;
      if (colons > 2) throw bad("has more than two colons in a row; write '\\:' for a colon in a name");
      if (i + colons === value.length) throw bad("ends with a colon; write '\\:' for a colon in a name");
      if (colons === 1 && into === lowers.data) {
        throw bad("has a ':' after '::'; data-only directories are the last, each after '::'");
      }
      if (colons === 2) into = lowers.data;
      i += colons - 1;
    }
  }
  into.push(name);
  return lowers;
}
