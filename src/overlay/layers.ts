/**
 * Opens the layers of a mount, on the main thread, before anything is mounted. Whatever the user got wrong becomes one
 * {@link UserError}; nothing is written before every check has passed.
 */

import { readlinkSync } from 'node:fs';
import {
  CAP_CHOWN,
  CAP_DAC_OVERRIDE,
  CAP_FOWNER,
  CAP_SETGID,
  CAP_SETUID,
  CAP_SYS_ADMIN,
  close,
  EPERM,
  effectiveCapabilities,
  fstatfs,
  nameToHandle,
  O_CLOEXEC,
  O_DIRECTORY,
  O_PATH,
  O_RDONLY,
  openat,
  openByHandle,
  StatFs,
} from '../sys/index.js';
import type { Layer, OpenedLayers, OverlayOptions, UpperFeatures } from './config.js';
import { Descriptors } from './descriptors.js';
import { lockDirectory } from './dir-lock.js';
import { checkKernelMounts, checkOverlap, checkUpperAndWork, type Sources } from './layer-checks.js';
import { openReadOnly, openWritable, type Root } from './mount-clone.js';
import { checkCounts, checkUpperCan, limitTo, withNamespace } from './option-rules.js';
import { markUpperRoot, verifyIndex } from './root-marks.js';
import { type Filesystem, type SourceDir, SourceDirs } from './source-dir.js';
import { checkEntryTypes, NO_FEATURES, probeUpper } from './upper-probe.js';
import { UserError } from './user-error.js';
import { markVolatile, openIndex, openWork, type WorkBase } from './work-dir.js';

/** What this process may do. */
interface Powers {
  /** `trusted.*` xattrs can be read and written: CAP_SYS_ADMIN outside of any user namespace. */
  readonly trusted: boolean;
  /** Modes don't bind it. */
  readonly overridesModes: boolean;
  readonly privileged: boolean;
}

/** The first user namespace has this inode number (PROC_USER_INIT_INO). */
const INITIAL_USER_NAMESPACE = 'user:[4026531837]';

function ownPowers(): Powers {
  const capabilities = effectiveCapabilities();
  const has = (capability: number): boolean => (capabilities & (1 << capability)) !== 0;
  const identity = [CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_SETGID, CAP_SETUID];
  return {
    trusted: has(CAP_SYS_ADMIN) && readlinkSync('/proc/self/ns/user') === INITIAL_USER_NAMESPACE,
    overridesModes: has(CAP_DAC_OVERRIDE),
    privileged: identity.every(has),
  };
}

/** Opens and checks all layers. Throws a {@link UserError}; then nothing stays open. */
export function openLayers(given: OverlayOptions): OpenedLayers {
  checkCounts(given);
  const powers = ownPowers();
  const options = withNamespace(given, powers.trusted);
  const sources = lookAtAll(options);
  if (sources.upper && sources.work) checkUpperAndWork(sources.upper, sources.work);
  checkOverlap(sources);
  const open = new Descriptors();
  try {
    return openChecked(options, sources, powers, open);
  } catch (error) {
    open.closeAll();
    throw error;
  }
}

/** Closes every descriptor of an overlay that is not served (any more); locks and clones go with them. */
export function closeLayers(opened: OpenedLayers): void {
  for (const fd of opened.descriptors) close(fd);
}

function lookAtAll(options: OverlayOptions): Sources {
  const dirs = new SourceDirs();
  const upper = options.upperdir === null ? null : dirs.look('upperdir', options.upperdir);
  // A mount that never writes has no use for a workdir.
  const needsWork = upper !== null && !options.readOnly && options.workdir !== null;
  const work = needsWork ? dirs.look('workdir', options.workdir) : null;
  const lowers = options.lowerdir.map((path) => dirs.look('lowerdir', path));
  const data = options.datadir.map((path) => dirs.look('datadir', path));
  return { upper, work, lowers: [...lowers, ...data] };
}

/** The writable side of an overlay. */
interface UpperSide {
  readonly options: OverlayOptions;
  readonly root: Root;
  readonly work: number;
  readonly indexDir: number;
  readonly features: UpperFeatures;
  readonly warnings: readonly string[];
}

function openChecked(
  options: OverlayOptions,
  sources: Sources,
  powers: Powers,
  open: Descriptors,
): OpenedLayers {
  const { upper, work, lowers } = sources;
  let pair: readonly Root[] = [];
  let workdirFd = -1;
  if (upper && work) {
    checkKernelMounts(upper, work);
    pair = openWritable([upper, work], open);
    checkWritable(pair[0]!.fd, upper);
    lockDirectory(pair[0]!.fd, upper, open);
    workdirFd = lockDirectory(pair[1]!.fd, work, open);
  } else if (upper) {
    pair = openReadOnly([upper], open);
  }
  const lowerRoots = openReadOnly(lowers, open);
  const side = ((): UpperSide | null => {
    if (!upper) return null;
    if (!work) {
      return { options, root: pair[0]!, work: -1, indexDir: -1, features: NO_FEATURES, warnings: [] };
    }
    const base: WorkBase = { fd: pair[1]!.fd, path: work.path, mode: powers.overridesModes ? 0 : 0o700 };
    return prepareUpper(
      { options, sources, root: pair[0]!, lowerRoot: lowerRoots[0]!, base, workdirFd },
      open,
    );
  })();
  const inForce = side?.options ?? options;
  const handleFds = openHandleFds(sources, side?.root ?? null, lowerRoots, open);
  const layers = layersOf(sources, side?.root ?? null, lowerRoots, inForce, handleFds);
  return {
    options: inForce,
    warnings: side?.warnings ?? [],
    layers,
    hasUpper: upper !== null,
    work: side?.work ?? -1,
    indexDir: side?.indexDir ?? -1,
    features: side?.features ?? NO_FEATURES,
    xinoBits: xinoBits(layers, sources, inForce),
    canOpenByHandle: handleFds.size > 0,
    privileged: powers.privileged,
    descriptors: [...open.list()],
  };
}

interface Preparation {
  readonly options: OverlayOptions;
  readonly sources: Sources;
  readonly root: Root;
  readonly lowerRoot: Root;
  readonly base: WorkBase;
  /** The workdir, open for reading. */
  readonly workdirFd: number;
}

/** From here on the workdir is written to. */
function prepareUpper(from: Preparation, open: Descriptors): UpperSide {
  const { sources, root, base } = from;
  const upper = sources.upper!;
  const work = openWork(base, open);
  checkEntryTypes(from.workdirFd, upper);
  const features = probeUpper(work, upper, from.options);
  checkUpperCan(features, upper, from.options);
  const { options, warnings } = limitTo(from.options, features, sources);
  if (features.xattr) markUpperRoot(root.fd, options);
  let indexDir = -1;
  if (options.index) {
    indexDir = openIndex(base, open);
    verifyIndex({ upper, root, lower: sources.lowers[0]!, lowerRoot: from.lowerRoot, indexDir }, options);
  }
  if (options.volatile) markVolatile(base, work);
  return { options, root, work, indexDir, features, warnings };
}

const statFs = new StatFs();
const ST_RDONLY = 1;

function checkWritable(root: number, upper: SourceDir): void {
  if (fstatfs(root, statFs) === 0 && (statFs.flags & ST_RDONLY) !== 0) {
    throw new UserError(
      `upperdir '${upper.path}' is on a read-only filesystem; choose a writable place, or mount read-only (-o ro).`,
    );
  }
}

/** Layers with their filesystem numbers, as ovl_get_layers(): 0 stays the upper's also without an upper. */
function layersOf(
  sources: Sources,
  upperRoot: Root | null,
  lowerRoots: readonly Root[],
  options: OverlayOptions,
  handleFds: ReadonlyMap<Filesystem, number>,
): Layer[] {
  const { upper, lowers } = sources;
  const numbers = numberFilesystems(sources);
  const okay = originFilesystems(sources, options);
  const layers: Layer[] = [];
  const add = (dir: SourceDir, root: Root, kind: Layer['kind']): void => {
    const { devMajor, devMinor, uuid } = dir.fs;
    layers.push({
      index: layers.length,
      kind,
      path: dir.path,
      root: root.fd,
      handleFd: handleFds.get(dir.fs) ?? -1,
      devMajor,
      devMinor,
      fsid: numbers.get(dir.fs)!,
      uuid: options.uuid === 'off' ? null : uuid,
      originOk: okay.has(dir.fs),
      cloned: root.cloned,
    });
  };
  if (upper) add(upper, upperRoot!, 'upper');
  for (const [i, dir] of lowers.entries()) {
    add(dir, lowerRoots[i]!, dir.option === 'datadir' ? 'data' : 'lower');
  }
  return layers;
}

function numberFilesystems(sources: Sources): Map<Filesystem, number> {
  const numbers = new Map<Filesystem, number>();
  if (sources.upper) numbers.set(sources.upper.fs, 0);
  let next = 1;
  for (const dir of sources.lowers) {
    if (!numbers.has(dir.fs)) numbers.set(dir.fs, next++);
  }
  return numbers;
}

/**
 * The filesystems in which an origin may be looked up by its uuid, as ovl_lower_uuid_ok(): the uuid must belong to one
 * filesystem only; "none" is no proof after lowers were changed offline, which plain mounts allow.
 */
function originFilesystems(sources: Sources, options: OverlayOptions): Set<Filesystem> {
  const strict = options.index || options.metacopy || options.redirectDir === 'on' || options.xino === 'on';
  const okay = new Set<Filesystem>();
  const owners = new Map<string, Filesystem>();
  for (const { fs } of sources.lowers) {
    if (okay.has(fs) || fs.handles === 'none') continue;
    // What is on the upper's own filesystem needs no uuid to be recognised.
    if (fs === sources.upper?.fs) {
      okay.add(fs);
      continue;
    }
    if (fs.uuid === null && !strict) continue;
    const key = fs.uuid?.toString('hex') ?? '';
    const other = owners.get(key);
    if (other === undefined) okay.add(fs);
    else if (other !== fs) okay.delete(other);
    owners.set(key, other ?? fs);
  }
  return okay;
}

/**
 * Bits above inode numbers that carry the filesystem's number. As ovl_fill_super() and ovl_get_layers(): 32 when every
 * filesystem is known to have 32-bit inode numbers, else as few as the count needs.
 */
function xinoBits(layers: readonly Layer[], sources: Sources, options: OverlayOptions): number {
  const merged = layers.filter((layer) => layer.kind !== 'data');
  const highest = Math.max(...merged.map((layer) => layer.fsid));
  const count = new Set(merged.map((layer) => layer.fsid)).size;
  if (count === 1) return 0;
  if (options.xino === 'off') return -1;
  const dirs = [sources.upper, ...sources.lowers].filter((dir) => dir !== null && dir.option !== 'datadir');
  if (dirs.every((dir) => dir!.fs.handles === 'ino32')) return 32;
  return Math.floor(Math.log2(highest)) + 2;
}

/**
 * A descriptor for open_by_handle_at(2) on each filesystem, on a lower's read-only clone where there is one. Empty when
 * this process may not open by handle; that is found by trying.
 */
function openHandleFds(
  sources: Sources,
  upperRoot: Root | null,
  lowerRoots: readonly Root[],
  open: Descriptors,
): Map<Filesystem, number> {
  const fds = new Map<Filesystem, number>();
  const roots: [SourceDir, Root][] = sources.lowers.map((dir, i) => [dir, lowerRoots[i]!]);
  if (sources.upper && upperRoot) roots.push([sources.upper, upperRoot]);
  for (const [dir, root] of roots) {
    if (dir.fs.handles === 'none' || fds.has(dir.fs)) continue;
    const handle = nameToHandle(root.fd, '');
    const fd = openat(root.fd, '.', O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) continue;
    const again = typeof handle === 'number' ? handle : openByHandle(fd, handle, O_PATH | O_CLOEXEC);
    if (again < 0) {
      close(fd);
      if (again === -EPERM) break;
      continue;
    }
    close(again);
    fds.set(dir.fs, open.add(fd));
  }
  return fds;
}
