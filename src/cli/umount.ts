/** `plyfs umount`. */
import { UserError } from '../overlay/user-error.js';
import { attachedAt, detach, FS_TYPE } from '../session/attach.js';
import { mountAt } from '../sys/index.js';
import { canonical } from './canonical.js';

/** Unmounts the plyfs mount at `path`. Throws a UserError. */
export async function umount(path: string, lazy: boolean): Promise<void> {
  const target = canonical(path);
  const mount = mountAt(target);
  if (mount === null) throw new UserError(`nothing is mounted at '${path}'.`);
  if (mount.fsType !== FS_TYPE)
    throw new UserError(`'${path}' is a ${mount.fsType} mount, not one of plyfs; umount takes it away.`);
  const attachment = attachedAt(target);
  if (attachment !== null) await detach(attachment, lazy);
}
