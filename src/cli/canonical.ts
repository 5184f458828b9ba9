/** Paths as the mount table has them. */
import { realpathSync } from 'node:fs';
import { tried } from '../tools/text.js';

/**
 * A path (latin1) without symlinks. The server of a mount at its end is not asked: a dead one is found, too. Throws a
 * UserError.
 */
export function canonical(path: string): string {
  return tried('use', path, () =>
    realpathSync.native(Buffer.from(path, 'latin1'), 'buffer').toString('latin1'),
  );
}
