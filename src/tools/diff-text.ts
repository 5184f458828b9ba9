/** The change of a text file as a unified diff. */
import { createTwoFilesPatch } from 'diff';
import { dataOf, type Side } from './compare.js';
import { shown } from './text.js';

/** Larger files are compared, not shown. */
const LIMIT = 1 << 20;
/** So are files with more removed and added lines than this: the cost grows quadratically, and a file may be crafted for it. */
const MAX_LINES = 4000;

function textOf(side: Side): string | null {
  const data = dataOf(side, LIMIT);
  if (data === null || data.includes(0)) return null;
  const text = data.toString('utf8');
  return text.includes('\ufffd') ? null : text;
}

/** The unified diff between two versions; nothing when one of them is binary or large, or the change is. */
export function textDiff(now: Side, before: Side): { patch?: string } {
  const [old, current] = [textOf(before), textOf(now)];
  if (old === null || current === null) return {};
  const name = shown(now.path);
  const patch = createTwoFilesPatch(`a/${shown(before.path)}`, `b/${name}`, old, current, '', '', {
    maxEditLength: MAX_LINES,
  });
  if (patch === undefined) return {};
  return { patch: patch.replace(/^=+\n/, '') };
}
