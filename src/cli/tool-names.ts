/** Names of the commands that work with layers, without loading their code. */
export const TOOL_NAMES = [
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
] as const;
export type ToolName = (typeof TOOL_NAMES)[number];

/** Whether a word is one of these names. */
export function isToolName(word: string | undefined): word is ToolName {
  return TOOL_NAMES.some((name) => name === word);
}
