/**
 * Opens the layers of a mount, on the main thread, before anything is mounted. Any mistake of the user becomes one
 * {@link UserError}; nothing is written before all checks have passed.
 */

import { existsSync, readlinkSync } from 'node:fs';
import {
  CAP_CHOWN,
  CAP_DAC_OVERRIDE,
  CAP_DAC_READ_SEARCH,
  CAP_FOWNER,
  CAP_SETGID,
  CAP_SETUID,
  CAP_SYS_ADMIN,
  close,
  EACCES,
  effectiveCapabilities,
  faccessat,
  fstatfs,
  INITIAL_USER_NAMESPACE,
  StatFs,
  W_OK,
  X_OK,
} from '../sys/index.js';
import type { Layer, OpenedLayers, OverlayOptions, Trap, UpperFeatures } from './config.js';
import { checkDescriptors } from './descriptor-budget.js';
import { Descriptors } from './descriptors.js';
import { lockDirectory } from './dir-lock.js';
import { cleanIndex } from './index-cleanup.js';
import { aroundTraps, checkOverlap, checkUpperAndWork, type Sources } from './layer-checks.js';
import { numberFilesystems, openHandleFds, originFilesystems, xinoBits } from './layer-filesystems.js';
import { checkLayersInUse } from './layers-in-use.js';
import { openSensor } from './lost-writes.js';
import { openReadOnly, openWritable, type Root } from './mount-clone.js';
import { checkKernelMounts } from './mount-table.js';
import { checkCounts, checkUpperCan, limitIndex, limitTo, limitUuid, withNamespace } from './option-rules.js';
import { overrideFormat, prepareOverride } from './override-stat.js';
import { OwnXattrs } from './own-xattrs.js';
import { type IndexParties, markUpperRoot, verifyIndex } from './root-marks.js';
import { cannotUse, type DirOption, type SourceDir, SourceDirs } from './source-dir.js';
import { checkEntryTypes, NO_FEATURES, probeUpper } from './upper-probe.js';
import { UserError } from './user-error.js';
import { findIndex, markVolatile, openIndex, openWork, type WorkBase } from './work-dir.js';

/** What this process may do. */
interface Powers {
  /** It may read and write `trusted.*` xattrs: CAP_SYS_ADMIN in the initial user namespace. */
  readonly trusted: boolean;
  /** File modes don't bind it (CAP_DAC_OVERRIDE). */
  readonly overridesModes: boolean;
  readonly privileged: boolean;
  /** It may open by handle. */
  readonly opensByHandle: boolean;
}

function ownPowers(): Powers {
  const capabilities = effectiveCapabilities();
  const has = (capability: number): boolean => (capabilities & (1 << capability)) !== 0;
  const identity = [CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_FOWNER, CAP_SETGID, CAP_SETUID];
  const initial = readlinkSync('/proc/self/ns/user') === INITIAL_USER_NAMESPACE;
  return {
    trusted: has(CAP_SYS_ADMIN) && initial,
    opensByHandle: has(CAP_DAC_READ_SEARCH) && initial,
    overridesModes: has(CAP_DAC_OVERRIDE),
    privileged: identity.every(has),
  };
}

/** Whether this process may read and write `trusted.overlay.*`. */
export function mayUseTrusted(): boolean {
  return ownPowers().trusted;
}

/**
 * Opens and checks all layers. `topIsUpper`: the first lower is an upper that is read like a lower. Throws a
 * {@link UserError}, and leaves nothing open then.
 */
export function openLayers(given: OverlayOptions, topIsUpper = false): OpenedLayers {
  checkCounts(given);
  const powers = ownPowers();
  const options = withNamespace(given, powers.trusted);
  const sources = lookAtAll(options);
  checkDescriptors(sources.lowers.length + (sources.upper === null ? 0 : 1));
  if (sources.upper && sources.work) checkUpperAndWork(sources.upper, sources.work);
  checkOverlap(sources, topIsUpper);
  if (options.index) checkLayersInUse(sources);
  const held = new Descriptors();
  try {
    return openChecked(options, sources, powers, held);
  } catch (error) {
    held.closeAll();
    throw error;
  }
}

/** Closes all descriptors of an overlay that is not, or no longer, served; locks and clones end with them. */
export function closeLayers(opened: OpenedLayers): void {
  for (const fd of opened.descriptors) close(fd);
}

function lookAtAll(options: OverlayOptions): Sources {
  const dirs = new SourceDirs();
  const upper = options.upperdir === null ? null : dirs.look('upperdir', options.upperdir);
  // A mount that never writes needs the workdir only for the index in it.
  const needsWork = upper !== null && options.workdir !== null && (!options.readOnly || options.index);
  const work = needsWork ? dirs.look('workdir', options.workdir!) : null;
  const lowers = options.lowerdir.map((path) => dirs.look('lowerdir', path));
  const data = options.datadir.map((path) => dirs.look('datadir', path));
  return { upper, work, lowers: [...lowers, ...data] };
}

/** The roots of all directories, in the order of {@link Sources}. */
interface Roots {
  readonly upper: Root | null;
  readonly work: Root | null;
  /** The workdir, open for reading; -1 without one. */
  readonly workdirFd: number;
  readonly lowers: readonly Root[];
}

function openRoots(sources: Sources, options: OverlayOptions, powers: Powers, held: Descriptors): Roots {
  const { upper, work } = sources;
  if (!upper || !work || options.readOnly) {
    const top = [upper, work].map((dir) => (dir ? openReadOnly([dir], held)[0]! : null));
    return { upper: top[0]!, work: top[1]!, workdirFd: -1, lowers: openReadOnly(sources.lowers, held) };
  }
  checkKernelMounts(upper, work);
  const [upperRoot, workRoot] = openWritable([upper, work], options.accessTimes, held) as [Root, Root];
  checkWritable(upperRoot.fd, upper, powers);
  lockDirectory(upperRoot.fd, upper, held);
  const workdirFd = lockDirectory(workRoot.fd, work, held);
  return { upper: upperRoot, work: workRoot, workdirFd, lowers: openReadOnly(sources.lowers, held) };
}

const statFs = new StatFs();
const ST_RDONLY = 1;

function checkWritable(root: number, upper: SourceDir, powers: Powers): void {
  if (fstatfs(root, statFs) === 0 && (statFs.flags & ST_RDONLY) !== 0) {
    throw new UserError(
      `upperdir '${upper.path}' is on a read-only filesystem; choose a writable place, or mount read-only (-o ro).`,
    );
  }
  if (powers.overridesModes) return;
  const rc = faccessat(root, '.', W_OK | X_OK);
  if (rc === -EACCES) throw cannotUse(upper, rc);
}

/** A mount while it is being prepared. */
interface Preparation {
  readonly sources: Sources;
  readonly roots: Roots;
  readonly powers: Powers;
  readonly held: Descriptors;
  /** Sentences are added here. */
  readonly warnings: string[];
}

/** What a writable mount has besides layers. */
interface Writing {
  readonly options: OverlayOptions;
  readonly work: number;
  readonly indexDir: number;
  readonly sensor: number;
  readonly features: UpperFeatures;
}

function openChecked(
  given: OverlayOptions,
  sources: Sources,
  powers: Powers,
  held: Descriptors,
): OpenedLayers {
  const warnings: string[] = [];
  const prepared: Preparation = {
    sources,
    roots: openRoots(sources, given, powers, held),
    powers,
    held,
    warnings,
  };
  const limited = limitUuid(given, sources, warnings);
  const writing = given.readOnly ? prepareReading(prepared, limited) : prepareWriting(prepared, limited);
  const { options, work, indexDir, sensor, features } = writing;
  const layers = layersOf(prepared, options);
  if (indexDir >= 0 && !options.readOnly) {
    const own = new OwnXattrs(options.userxattr);
    cleanIndex({ indexDir, layers, own, path: sources.work!.path });
  }
  return {
    options,
    warnings,
    layers,
    hasUpper: sources.upper !== null,
    work,
    indexDir,
    sensor,
    features,
    traps: trapsOf(sources),
    xinoBits: xinoBits(sources, options.xino),
    canOpenByHandle: layers.some((layer) => layer.handleFd >= 0),
    privileged: powers.privileged,
    hasLabels: existsSync('/sys/fs/selinux/enforce'),
    descriptors: [...held.list()],
  };
}

/** A read-only mount uses the index to show hard links, but does not change it. */
function prepareReading(prepared: Preparation, given: OverlayOptions): Writing {
  const { sources, roots, powers, held, warnings } = prepared;
  const none = { work: -1, indexDir: -1, sensor: -1, features: NO_FEATURES };
  if (!given.index || !roots.upper) return { options: given, ...none };
  if (!roots.work) {
    warnings.push('index=on needs the workdir that the index is in: index is off.');
    return { options: { ...given, index: false }, ...none };
  }
  const options = limitIndex(given, sources, powers.opensByHandle, warnings);
  const indexDir = options.index ? findIndex(roots.work.fd, held) : -1;
  if (indexDir >= 0) verifyIndex(indexParties(prepared, indexDir), options);
  return { options, ...none, indexDir };
}

function indexParties({ sources, roots }: Preparation, indexDir: number): IndexParties {
  const upper = { dir: sources.upper!, root: roots.upper!.fd };
  return { upper, lower: { dir: sources.lowers[0]!, root: roots.lowers[0]!.fd }, indexDir };
}

/** From here on the workdir is written to. */
function prepareWriting(prepared: Preparation, given: OverlayOptions): Writing {
  const { sources, roots, powers, held, warnings } = prepared;
  if (!roots.upper || !roots.work) {
    return { options: given, work: -1, indexDir: -1, sensor: -1, features: NO_FEATURES };
  }
  const upper = sources.upper!;
  const mode = powers.overridesModes ? 0 : 0o700;
  const base: WorkBase = { fd: roots.work.fd, path: sources.work!.path, mode };
  const work = openWork(base, held);
  checkEntryTypes(roots.workdirFd, upper);
  const features = probeUpper(work, upper, given);
  checkUpperCan(features, upper, given);
  const options = limitTo(limitIndex(given, sources, powers.opensByHandle, warnings), features, warnings);
  if (features.xattr) markUpperRoot(roots.upper.fd, options);
  const lowerRoots = roots.lowers.map((root) => root.fd);
  prepareOverride({ dir: upper, root: roots.upper.fd }, lowerRoots, options);
  let indexDir = -1;
  if (options.index) {
    indexDir = openIndex(base, held);
    verifyIndex(indexParties(prepared, indexDir), options);
  }
  const sensor = options.volatile || options.fsync === 'volatile' ? openSensor(work, held) : -1;
  if (options.volatile) markVolatile(base, work);
  return { options, work, indexDir, sensor, features };
}

function trapsOf(sources: Sources): Trap[] {
  return [sources.upper, sources.work]
    .filter((dir) => dir !== null)
    .map(({ fs, inoLo, inoHi }) => ({ devMajor: fs.devMajor, devMinor: fs.devMinor, inoLo, inoHi }));
}

function layersOf({ sources, roots, held }: Preparation, options: OverlayOptions): Layer[] {
  const numbers = numberFilesystems(sources);
  const okay = originFilesystems(sources, options);
  const dirs: [SourceDir, Root][] = sources.lowers.map((dir, i) => [dir, roots.lowers[i]!]);
  // Upper last: for a filesystem that both are on, a lower's clone is the safer access.
  const top: [SourceDir, Root][] = sources.upper && roots.upper ? [[sources.upper, roots.upper]] : [];
  const handleFds = openHandleFds([...dirs, ...top], held);
  const around = aroundTraps(sources);
  return [...top, ...dirs].map(([dir, root], index) => ({
    index,
    kind: KINDS[dir.option],
    path: dir.path,
    root: root.fd,
    handleFd: handleFds.get(dir.fs) ?? -1,
    devMajor: dir.fs.devMajor,
    devMinor: dir.fs.devMinor,
    fsid: numbers.get(dir.fs)!,
    uuid: options.uuid === 'off' ? null : dir.fs.uuid,
    originOk: okay.has(dir.fs),
    cloned: root.cloned,
    holdsTraps: around.has(dir),
    override: overrideFormat(root.fd),
  }));
}

const KINDS: Readonly<Record<DirOption, Layer['kind']>> = {
  upperdir: 'upper',
  workdir: 'upper',
  lowerdir: 'lower',
  datadir: 'data',
};
