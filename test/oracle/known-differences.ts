/**
 * Where plyfs and kernel overlayfs may differ, each with the reason. Everything else that differs is a failure.
 *
 * A line rule rewrites both sides before they are compared; a step rule allows one pair of results of one step.
 */

export interface LineRule {
  readonly reason: string;
  /** Which text it is about: results of steps, the merged view, the upper layer. */
  readonly where: 'result' | 'merged' | 'upper';
  readonly pattern: RegExp;
  readonly replacement: string;
}

export interface StepRule {
  readonly reason: string;
  /** The step, as text. */
  readonly step: RegExp;
  readonly kernel: RegExp;
  readonly plyfs: RegExp;
}

export const lineRules: readonly LineRule[] = [
  {
    reason: 'the kernel marks an upper with a random uuid when it may; nothing else reads it',
    where: 'upper',
    pattern: / uuid(?= |$)/,
    replacement: '',
  },
];

export const stepRules: readonly StepRule[] = [];

/** Text with all rules for `where` applied. */
export function normal(where: LineRule['where'], text: string): string {
  return lineRules
    .filter((rule) => rule.where === where)
    .reduce((line, rule) => line.replace(rule.pattern, rule.replacement), text);
}

/** The reason why two results of a step may differ; null when they may not. */
export function allowed(step: string, kernel: string, plyfs: string): string | null {
  const rule = stepRules.find((r) => r.step.test(step) && r.kernel.test(kernel) && r.plyfs.test(plyfs));
  return rule?.reason ?? null;
}
