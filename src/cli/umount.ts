/** `plyfs umount`. */
import { realpathSync } from 'node:fs';
import { UserError } from '../overlay/user-error.js';
import { attachedAt, detach, FS_TYPE } from '../session/attach.js';
import { mountAt } from '../session/mountinfo.js';

/** The mount point's own name must not be touched: a dead mount answers nothing. Its parent is resolved instead. */
function absolute(path: string): string {
  const bytes = Buffer.from(path, 'latin1');
  try {
    return realpathSync.native(bytes, 'buffer').toString('latin1');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error)) throw error;
    throw new UserError(`the mount point ${path} can't be used: ${String(error.code)}.`);
  }
}

/** Unmounts the plyfs mount at `path`. Throws a sentence. */
export async function umount(path: string, lazy: boolean): Promise<void> {
  const target = absolute(path);
  const mount = mountAt(target);
  if (mount === null) throw new UserError(`nothing is mounted at ${path}.`);
  if (mount.fsType !== FS_TYPE) throw new UserError(`${path} is a ${mount.fsType} mount, not one of plyfs.`);
  const attachment = attachedAt(target);
  if (attachment !== null) await detach(attachment, lazy);
}
