/**
 * Upper and work as they are found inside a lower (`lowerdir=/`): ELOOP, as by the kernel's ovl_lookup_trap_inode(). The overlay
 * would show, and change, what it is made of.
 */
import type { Stat } from '../sys/index.js';
import * as sys from '../sys/index.js';
import { fail } from '../vfs/errors.js';
import type { Layer } from './config.js';
import type { Overlay } from './state.js';

/** Fails for a directory on `layer` that is one of them. In data-only layers nothing is looked for. ELOOP. */
export function refuseTrap(ov: Overlay, layer: Layer, stat: Stat): void {
  if (layer.kind !== 'lower') return;
  for (const trap of ov.opened.traps) {
    if (
      trap.inoLo === stat.inoLo &&
      trap.inoHi === stat.inoHi &&
      trap.devMinor === stat.devMinor &&
      trap.devMajor === stat.devMajor
    )
      fail(sys.ELOOP, 'upper or work inside a lower');
  }
}
