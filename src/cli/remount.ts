/** `mount -o remount,ro`: changes the flags of an existing mount. */
import { splitOptions } from '../overlay/option-text.js';
import { parseOptions } from '../overlay/options.js';
import { UserError } from '../overlay/user-error.js';
import { FS_TYPE } from '../session/attach.js';
import { askMount } from '../session/control.js';
import { parseMountOptions } from '../session/mount-options.js';
import * as sys from '../sys/index.js';
import { canonical } from './canonical.js';

/** The MS_* flags that the mount is to have: its present ones, as changed by the words. */
function flagsOf(mount: sys.MountInfo, options: readonly string[]): number {
  const isReadOnly = mount.superOptions.split(',').includes('ro');
  // Options about layers can't be changed, but mount(8) repeats them from fstab: ignored, as in the kernel.
  const { rest } = parseOptions([mount.options, ...(isReadOnly ? ['ro'] : []), ...options]);
  const words = rest
    .flatMap(splitOptions)
    .filter(({ name }) => name !== 'remount' && name !== 'idmapped')
    .map(({ name, value }) => ({ key: name, value }));
  return parseMountOptions(words, true).flags;
}

function problem(path: string, rc: number): string {
  switch (-rc) {
    case sys.EPERM:
    case sys.EACCES:
      return `not permitted to change the mount at ${path}: run as root.`;
    case sys.EBUSY:
      return `${path} can't become read-only: a file is open for writing there.`;
    default:
      return `the mount at ${path} can't be changed: ${sys.errnoName(rc)}.`;
  }
}

/** Changes the plyfs mount at `path`. Throws a UserError. */
export async function remount(path: string, options: readonly string[]): Promise<void> {
  const target = canonical(path);
  const mount = sys.mountAt(target);
  if (mount === null) throw new UserError(`nothing is mounted at '${path}'.`);
  if (mount.fsType !== FS_TYPE) throw new UserError(`${path} is a ${mount.fsType} mount, not one of plyfs.`);
  const flags = flagsOf(mount, options);
  if ((flags & sys.MS_RDONLY) === 0 && (await askMount(mount.device))?.options.readOnly === true) {
    throw new UserError(
      `${path} was mounted read-only, and its layers are open for reading only; unmount it and mount it again.`,
    );
  }
  const { source } = mount;
  const rc = sys.mount({ source, target, type: FS_TYPE, flags: flags | sys.MS_REMOUNT, data: '' });
  if (rc < 0) throw new UserError(problem(path, rc));
}
