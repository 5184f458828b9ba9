/**
 * Where plyfs and kernel overlayfs may differ, each with the reason. Every other difference is a failure.
 *
 * A line rule rewrites (or, with a null replacement, drops) lines on both sides before they are compared; a step
 * rule allows one pair of results of one step, and the looks after it are compared as always.
 *
 * Some differences need no rule, because the harness avoids them:
 * - A file is copied up by its first change, not by an open for writing (plyfs gets no request for most opens). The
 *   step `open` makes a change that fails after the copy-up; `lazyopen` does not.
 * - With `volatile`, every fsync fails after any lost write to upper's filesystem since the mount. Where plyfs has no sensor
 *   (src/overlay/lost-writes.ts), it fails after one to the file in question, or to one that plyfs has open for writing.
 * - When the kernel looks up directories of an upper that it did not write, it adds `origin` and `impure` to them.
 *   So the kernel mounts every upper once before a scenario.
 */

export interface LineRule {
  readonly reason: string;
  /** The text that it applies to: results of steps, the merged view, the upper layer. */
  readonly where: 'result' | 'merged' | 'upper';
  readonly pattern: RegExp;
  readonly replacement: string | null;
  /** Only for random scenarios; those of the table are compared exactly, and `pending` lists what differs in them. */
  readonly madeUp?: boolean;
  /** Only for the kernel's side: plyfs must not do it. */
  readonly kernelOnly?: boolean;
}

export interface StepRule {
  readonly reason: string;
  /** The step, as text. */
  readonly step: RegExp;
  readonly kernel: RegExp;
  readonly plyfs: RegExp;
  /** The results must be equal when this is removed. */
  readonly ignoring: RegExp;
}

/** Scenarios that differ by design: each must continue to differ. */
export const byDesign: Readonly<Record<string, string>> = {
  'whiteouts-in-one-layer':
    'the kernel lists whiteouts in a directory that it considers not merged, see lineRules',
  'open-for-writing-alone': 'plyfs copies up at the first change, see above',
  'holes-kept-by-copy-up':
    'the kernel finds holes in steps of one mebibyte when it copies up, plyfs finds all of them',
  'mapping-across-copy-up':
    'in a mapping that was made before copy-up the kernel keeps showing the lower file; plyfs shows what is written',
  'times-of-cached-reads':
    'plyfs gets no request for reads from the page cache, so they do not set the atime of a file on upper',
  'readdir-snapshot':
    'with zero-message opens plyfs gets no open of a directory: a listing that continues lacks names removed meanwhile',
  'index-changed-by-another-name':
    'a change comes with the number of an inode, not with its name: with index=on, the name last used gets the link on upper',
  'readdir-order-after-changes': 'names added while mounted are listed last, until the listing is read again',
};

/** Scenarios that differ but should not: to be fixed. */
export const pending: Readonly<Record<string, string>> = {};

/** Options that random scenarios of the short run leave out while something is pending there. */
export const pendingOptions: readonly string[] = [];

const lineRules: readonly LineRule[] = [
  {
    reason:
      'plyfs gets no request for opens: missing data of a data-only layer is an error at the first read',
    where: 'merged',
    pattern: /(open|read): ENOENT/,
    replacement: 'no data',
  },
  {
    reason: 'the kernel marks an upper with a random uuid when it may; nothing else reads it',
    where: 'upper',
    pattern: / uuid(?= |$)/,
    replacement: '',
  },
  {
    reason:
      'the kernel lists a directory of one layer as it is: a whiteout in it is a name that can not be looked up; plyfs hides it',
    where: 'merged',
    pattern: /^stat: ENOENT.*/,
    replacement: null,
  },
  {
    reason:
      'a name that can not be looked up: the first listing by the kernel fails, later ones leave it out; plyfs lists it',
    where: 'merged',
    pattern: /^stat: (EINVAL|EIO|EACCES|EPERM).*/,
    replacement: null,
  },
  {
    reason:
      'the kernel removes a stale impure mark when it lists the directory; a missing one shows in the cross mount, as a d_ino other than st_ino',
    where: 'upper',
    pattern: / trusted\.overlay\.impure="y"/,
    replacement: '',
    madeUp: true,
  },
  {
    reason:
      'the kernel marks a directory opaque or with a redirect before it finds that it can not rename it: the mark stays; a missing or excess one shows in the cross mount',
    where: 'upper',
    pattern: / trusted\.overlay\.(opaque="y"|redirect="[^"]*")/g,
    replacement: '',
    madeUp: true,
  },
  {
    reason:
      'the kernel does not mark a directory impure when a copied-up file is linked into it, and may then list the inode number of upper',
    where: 'merged',
    pattern: / d_ino!=st_ino/,
    replacement: '',
    madeUp: true,
    kernelOnly: true,
  },
];

const stepRules: readonly StepRule[] = [
  {
    reason:
      'an open file of a lower layer whose name was removed has no link left; the kernel shows the lower count',
    step: /^fstat/,
    kernel: /nlink=[1-9]/,
    plyfs: /nlink=0/,
    ignoring: / ?nlink=\d+/,
  },
];

/** Whose text it is, and whether the scenario is random. */
export interface Origin {
  readonly kernel?: boolean;
  readonly madeUp?: boolean;
}

/** Text with all rules for `where` applied; null when it is not compared at all. */
export function normal(where: LineRule['where'], text: string, origin: Origin = {}): string | null {
  let line: string | null = text;
  for (const rule of lineRules) {
    if (rule.where !== where || (rule.madeUp && !origin.madeUp) || (rule.kernelOnly && !origin.kernel))
      continue;
    if (line === null || !rule.pattern.test(line)) continue;
    line = rule.replacement === null ? null : line.replace(rule.pattern, rule.replacement);
  }
  return line;
}

/** The reason why two results of a step may differ; null when they may not. */
export function allowed(step: string, kernel: string, plyfs: string): string | null {
  const rule = stepRules.find(
    (r) =>
      r.step.test(step) &&
      r.kernel.test(kernel) &&
      r.plyfs.test(plyfs) &&
      kernel.replace(r.ignoring, '') === plyfs.replace(r.ignoring, ''),
  );
  return rule?.reason ?? null;
}
