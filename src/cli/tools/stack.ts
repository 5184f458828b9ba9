/** From a mount to its layers. */
import { statfsSync } from 'node:fs';
import { parseOptions } from '../../overlay/options.js';
import { UserError } from '../../overlay/user-error.js';
import { FS_TYPE } from '../../session/attach.js';
import { askMount } from '../../session/control.js';
import type { MountReport } from '../../session/mount-report.js';
import { type MountInfo, readMounts, unescapeOctal } from '../../sys/index.js';
import { tried } from '../../tools/text.js';
import { canonical } from '../canonical.js';

/** Layers of a mount; text is latin1. */
export interface MountedLayers {
  readonly mountpoint: string;
  readonly type: 'plyfs' | 'overlay';
  readonly lower: readonly string[];
  readonly data: readonly string[];
  readonly upper: string | null;
  readonly work: string | null;
  readonly userxattr: boolean;
}

/** The mount that holds a canonical path. */
function mountHolding(path: string): MountInfo | null {
  let best: MountInfo | null = null;
  for (const mount of readMounts()) {
    const { mountPoint } = mount;
    const holds = path === mountPoint || path.startsWith(mountPoint === '/' ? '/' : `${mountPoint}/`);
    if (holds && mountPoint.length >= (best?.mountPoint.length ?? 0)) best = mount;
  }
  return best;
}

const LAYER_OPTION = /^(lowerdir\+?|datadir\+|upperdir|workdir|userxattr)(=|$)/;

function kernelLayers(mount: MountInfo): MountedLayers {
  // A comma in a path is written in octal there, after the backslash that it was typed with, if any.
  const words = mount.superOptions
    .split(',')
    .map((option) => unescapeOctal(option).replace(/(?<!\\),/g, '\\,'))
    .filter((option) => LAYER_OPTION.test(option));
  const { overlay } = parseOptions(words.join(','));
  return {
    mountpoint: mount.mountPoint,
    type: 'overlay',
    lower: overlay.lowerdir,
    data: overlay.datadir,
    upper: overlay.upperdir,
    work: overlay.workdir,
    userxattr: overlay.userxattr,
  };
}

function plyfsLayers(report: MountReport): MountedLayers {
  const { lowerdir, datadir, upperdir, workdir, userxattr } = report.options;
  return {
    mountpoint: report.mountpoint,
    type: 'plyfs',
    lower: lowerdir,
    data: datadir,
    upper: upperdir,
    work: workdir,
    userxattr,
  };
}

/** The report of the plyfs mount at `path` about itself. Throws a UserError. */
export async function reportOf(path: string): Promise<MountReport> {
  const point = canonical(path);
  const mount = mountHolding(point);
  if (mount === null || mount.fsType !== FS_TYPE) throw new UserError(`'${path}' is on no plyfs mount.`);
  const report = await askMount(mount.device);
  if (report !== null) return report;
  // Reports it when nobody serves the mount any more.
  tried('use', path, () => statfsSync(Buffer.from(mount.mountPoint, 'latin1')));
  throw new UserError(
    `the plyfs mount at '${mount.mountPoint}' does not answer this user: it answers its owner and root, and an owner other than root only where there is a runtime directory (XDG_RUNTIME_DIR or /run/user/UID).`,
  );
}

/** The layers of the mount that `path` is on, and its path inside; null when the mount is not an overlay. Throws a UserError. */
export async function layersAt(path: string): Promise<{ layers: MountedLayers; inside: string } | null> {
  const point = canonical(path);
  const mount = mountHolding(point);
  if (mount === null) return null;
  const inside = point.slice(mount.mountPoint.length).replace(/^\//, '');
  if (mount.fsType === 'overlay') return { layers: kernelLayers(mount), inside };
  if (mount.fsType !== FS_TYPE) return null;
  return { layers: plyfsLayers(await reportOf(path)), inside };
}

/** The same for a path that is itself a mount point; null when nothing is mounted there. */
export async function layersOfMount(path: string): Promise<MountedLayers | null> {
  const point = canonical(path);
  const mount = mountHolding(point);
  if (mount === null || mount.mountPoint !== point) return null;
  return (await layersAt(path))?.layers ?? null;
}

/** The layers of every overlay, of plyfs or of the kernel, that this process sees and can learn the layers of. */
export async function allMountedLayers(): Promise<MountedLayers[]> {
  const found: MountedLayers[] = [];
  for (const mount of readMounts()) {
    if (mount.fsType === 'overlay') found.push(kernelLayers(mount));
    if (mount.fsType !== FS_TYPE) continue;
    const report = await askMount(mount.device);
    if (report !== null) found.push(plyfsLayers(report));
  }
  return found;
}
