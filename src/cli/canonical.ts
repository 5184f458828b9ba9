/** Paths in the form of the mount table. */
import { realpathSync } from 'node:fs';
import { tried } from '../tools/text.js';

/**
 * A path (latin1) without symlinks. If a mount is at its end, the server is not asked, so a dead mount resolves as well.
 * Throws a UserError.
 */
export function canonical(path: string): string {
  return tried('use', path, () =>
    realpathSync.native(Buffer.from(path, 'latin1'), 'buffer').toString('latin1'),
  );
}
