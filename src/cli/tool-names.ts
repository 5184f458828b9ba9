/** Names of the commands that work with layers, without their code. */
export const TOOL_NAMES: ReadonlySet<string> = new Set([
  'diff',
  'inspect',
  'layers',
  'check',
  'export',
  'import',
  'run',
  'merge',
  'squash',
  'stats',
]);
