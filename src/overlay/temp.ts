/** Temporary objects in the work directory: being built, or about to be removed. */
import * as sys from '../sys/index.js';
import { removeTree } from './remove-tree.js';
import type { Overlay } from './state.js';

/** An unused name in work; leftovers of a crash are removed before the next mount, so a counter is unique. */
export function tempName(ov: Overlay): string {
  ov.tempCounter++;
  return `#${ov.tempCounter.toString(16)}`;
}

/** Removes a file, whiteout or directory tree in work. A failure merely leaves garbage until the next mount. */
export function discard(ov: Overlay, name: string, isDirectory: boolean): void {
  let rc = sys.unlinkat(ov.work, name, isDirectory ? sys.AT_REMOVEDIR : 0);
  if (isDirectory && rc < 0) rc = removeTree(ov.work, name);
  if (ov.again(rc)) rc = removeTree(ov.work, name);
  ov.bestEffort('clean work', rc);
}
