/**
 * Mount propagation, in the words of mount(8): whether mounts below a mount appear in other mount namespaces. buildah's
 * overlay volumes (`podman run -v DIR:DIR:O`, `--mount type=image`) pass `private` to the mount program.
 */
import * as sys from '../sys/index.js';

/** MS_* flags by word. A new mount has none below it, so the recursive words mean the same. */
export const PROPAGATION: Readonly<Record<string, number>> = {
  private: sys.MS_PRIVATE,
  rprivate: sys.MS_PRIVATE,
  shared: sys.MS_SHARED,
  rshared: sys.MS_SHARED,
  slave: sys.MS_SLAVE,
  rslave: sys.MS_SLAVE,
  unbindable: sys.MS_UNBINDABLE,
  runbindable: sys.MS_UNBINDABLE,
};

/**
 * Sets the propagation of the mount at `target`. Returns null, or a warning when that fails: a plain user may not, just as with
 * mount(8). It causes no request, so the serving thread may call it.
 */
export function setPropagation(target: string, flag: number): string | null {
  const rc = sys.mount({ source: 'none', target, type: '', flags: flag, data: '' });
  if (rc >= 0) return null;
  const word = Object.keys(PROPAGATION).find((key) => PROPAGATION[key] === flag)!;
  return `the option ${word} has no effect: ${sys.errnoName(rc)}.`;
}
