/**
 * Reads and prints the options of an overlay, by the table in option-table.ts. What is not in that table (`ro`, `nosuid`,
 * `allow_other`, `context=`, ...) belongs to the mount and is passed on.
 */
import { workingDirectory } from './absolute-path.js';
import type { OverlayOptions } from './config.js';
import { DEFAULTS, type Draft, type Row, TABLE } from './option-table.js';
import { type Option, splitOptions } from './option-text.js';
import { UserError } from './user-error.js';

/** The result of parsing `-o`. */
export interface ParsedOptions {
  readonly overlay: OverlayOptions;
  /** Options that are not the overlay's, as typed. `ro` and `rw` are here too. */
  readonly rest: readonly string[];
  /** Sentences about options that were accepted without effect. */
  readonly warnings: readonly string[];
}

const BY_NAME: ReadonlyMap<string, Row> = new Map(TABLE.map((row) => [row.name, row]));

/** The row of an option. With a value, `sync` is not mount(8)'s word but fuse-overlayfs's synonym for `fsync`. */
function rowOf({ name, value }: Option): Row | undefined {
  return BY_NAME.get(name === 'sync' && value !== null ? 'fsync' : name);
}

/** How an option is written, for a message. */
function usage(row: Row): string {
  return row.value === null ? `'${row.name}', without a value` : `'${row.name}=${row.value}'`;
}

function readOption(draft: Draft, row: Row, option: Option): void {
  const { name, value } = option;
  draft.given.add(name);
  const given = value ?? (row.value === null ? null : (row.bare ?? null));
  if ((given === null) !== (row.value === null)) {
    throw new UserError(
      `option '${name}' ${given === null ? 'needs a value' : 'takes no value'}: ${usage(row)}.`,
    );
  }
  if (!row.read(draft, given ?? '')) {
    throw new UserError(`option '${name}' has a bad value '${given}': it is ${usage(row)}.`);
  }
}

/**
 * Parses overlay options: the text of one or more `-o`, in order. If an option is given twice, the last one wins. Relative paths
 * are resolved against `cwd`. Throws a {@link UserError} for a bad value or a conflict; directories are not accessed.
 */
export function parseOptions(input: string | readonly string[], cwd = workingDirectory()): ParsedOptions {
  const draft: Draft = {
    ...DEFAULTS,
    lowerdir: [],
    datadir: [],
    cwd,
    lowersClosed: false,
    given: new Set(),
    warnings: [],
  };
  const rest: string[] = [];
  for (const text of typeof input === 'string' ? [input] : input) {
    for (const option of splitOptions(text)) {
      const row = rowOf(option);
      if (row) readOption(draft, row, option);
      else rest.push(option.raw);
      if (option.raw === 'ro' || option.raw === 'rw') draft.readOnly = option.raw === 'ro';
    }
  }
  reconcile(draft);
  const { cwd: _cwd, lowersClosed: _closed, given: _given, warnings, ...overlay } = draft;
  return { overlay, rest, warnings };
}

/** Options that need or exclude each other, as ovl_fs_params_verify() of Linux 6.18. */
function reconcile(draft: Draft): void {
  const { given, warnings } = draft;
  const conflict = (a: string, b: string): UserError =>
    new UserError(`the options ${a} and ${b} exclude each other; leave one of them out.`);

  if (draft.upperdir === null) {
    draft.readOnly = true;
    if (draft.index) warnings.push("option 'index=on' has no effect without upperdir.");
    if (draft.volatile) warnings.push("option 'volatile' has no effect without upperdir.");
    draft.index = false;
    draft.volatile = false;
    if (draft.uuid === 'on') draft.uuid = 'null';
    // Nothing writes redirects then, so following them is all that `on` can mean.
    if (draft.metacopy && draft.redirectDir === 'follow') draft.redirectDir = 'on';
  }
  if (draft.metacopy && draft.redirectDir !== 'on') {
    if (given.has('redirect_dir')) throw conflict('metacopy=on', `redirect_dir=${draft.redirectDir}`);
    draft.redirectDir = 'on';
  }
  if (draft.whiteout === 'aufs' && !draft.whPrefix) throw conflict('whiteout=aufs', 'wh=off');
  if (draft.userxattr) {
    if (draft.metacopy) throw conflict('userxattr', 'metacopy=on');
    if (given.has('redirect_dir') && draft.redirectDir !== 'nofollow') {
      throw conflict('userxattr', `redirect_dir=${draft.redirectDir}`);
    }
    draft.redirectDir = 'nofollow';
  }
}

/** The options that differ from the defaults, ready to be joined by commas and parsed again. */
export function printOptions(options: OverlayOptions): string[] {
  const printed: string[] = [];
  for (const row of TABLE) {
    // What metacopy implies would be a conflict if it were spelled out.
    if (row.name === 'redirect_dir' && options.metacopy) continue;
    for (const value of row.print?.(options) ?? []) {
      printed.push(row.value === null ? row.name : `${row.name}=${value}`);
    }
  }
  return printed;
}
