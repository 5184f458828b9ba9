/**
 * Layers that keep owners and modes in `user.*` xattrs (override-stat.ts): anyone who may write to such a layer can claim that a
 * file is root's, set-user-id, or a device. Kernel overlayfs does not read these xattrs.
 */
import type { Layer } from '../overlay/config.js';
import { mayUseTrusted } from '../overlay/layers.js';
import { MS_NODEV, MS_NOSUID } from '../sys/index.js';
import type { MountPlan } from './plan.js';

/** The warning that goes with {@link cautiousFlags}. */
export const CAUTION =
  'a layer keeps owners in user.* attributes, which whoever may write to it can set: set-user-id programs and device nodes have no effect; give suid,dev where it is to be trusted.';

/**
 * Extra MS_* flags for root's mount of such a layer, unless the format (`xattr_permissions`), `suid` or `dev` was asked for. A
 * plain user's mount has them anyway, and in a user namespace they would protect nobody.
 */
export function cautiousFlags({ kernel, overlay }: MountPlan, layers: readonly Layer[]): number {
  const isAsked = overlay.xattrPermissions !== 0 || !mayUseTrusted();
  if (isAsked || !layers.some(({ override }) => override?.startsWith('user.'))) return 0;
  return (MS_NOSUID | MS_NODEV) & ~kernel.namedFlags;
}
