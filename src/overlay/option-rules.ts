/** Constraints between the options of a mount, and the options that are given up where a filesystem or process lacks support. */

import type { OverlayOptions, UpperFeatures } from './config.js';
import type { Sources } from './layer-checks.js';
import { originFilesystems } from './layer-filesystems.js';
import type { SourceDir } from './source-dir.js';
import { UserError } from './user-error.js';

/** As the kernel's OVL_MAX_STACK. */
const MAX_LOWERS = 500;

/** Checks the number of lowers, and that upper and work are given together. Throws a UserError. */
export function checkCounts(options: OverlayOptions): void {
  const lowers = options.lowerdir.length + options.datadir.length;
  if (options.lowerdir.length === 0) {
    throw new UserError("no lower directory is given; name at least one with 'lowerdir=DIR'.");
  }
  if (lowers > MAX_LOWERS) {
    throw new UserError(`${lowers} lower directories are given; ${MAX_LOWERS} is the limit.`);
  }
  if (options.upperdir !== null && options.workdir === null && !options.readOnly) {
    throw new UserError(
      "upperdir needs a workdir; add 'workdir=DIR', an empty directory on the same filesystem as upperdir.",
    );
  }
  if (options.upperdir === null && options.workdir !== null) {
    throw new UserError("workdir is of no use without upperdir; add 'upperdir=DIR', or leave workdir out.");
  }
}

/** Chooses `user.overlay.*` where this process may not use `trusted.overlay.*`. Throws a UserError. */
export function withNamespace(options: OverlayOptions, trusted: boolean): OverlayOptions {
  if (options.userxattr || trusted) return options;
  // As with an explicit userxattr (options.ts): in user.* anyone who may write to a layer could redirect lookups.
  if (options.metacopy || options.redirectDir === 'on') {
    const which = options.metacopy ? 'metacopy=on' : 'redirect_dir=on';
    throw new UserError(
      `${which} needs trusted.* xattrs, which this user may not use; leave it out, or mount as root outside of a user namespace.`,
    );
  }
  return { ...options, userxattr: true, redirectDir: 'nofollow' };
}

/** Throws a UserError for an upper that can't express deletions. */
export function checkUpperCan(features: UpperFeatures, upper: SourceDir, options: OverlayOptions): void {
  if (!features.renameFlags) {
    throw new UserError(
      `upperdir '${upper.path}' is on a filesystem that can't exchange two names (renameat2 with flags); choose another filesystem.`,
    );
  }
  if (features.xattr || options.whiteout === 'aufs') return;
  throw new UserError(
    `upperdir '${upper.path}' is on a filesystem that can't hold the xattrs that mark replaced directories; choose another filesystem, or write marks as file names with whiteout=aufs.`,
  );
}

/** uuid=off requires a single filesystem, like in ovl_fill_super(): among several, an origin without a uuid is ambiguous. */
export function limitUuid(options: OverlayOptions, sources: Sources, warnings: string[]): OverlayOptions {
  if (options.uuid !== 'off') return options;
  const dirs = [sources.upper, ...sources.lowers].filter((dir) => dir !== null && dir.option !== 'datadir');
  if (new Set(dirs.map((dir) => dir!.fs)).size === 1) return options;
  warnings.push('uuid=off needs all layers on one filesystem: it is uuid=null.');
  return { ...options, uuid: 'null' };
}

/**
 * index=on requires that files can be found by their handles, like in ovl_lower_dir() and ovl_get_fsid(): it is keyed by origins,
 * each of which must lead to a single filesystem.
 */
export function limitIndex(
  options: OverlayOptions,
  sources: Sources,
  opensByHandle: boolean,
  warnings: string[],
): OverlayOptions {
  const why = options.index ? whyNoIndex(options, sources, opensByHandle) : null;
  if (why === null) return options;
  warnings.push(`${why}: index is off.`);
  return { ...options, index: false };
}

function whyNoIndex(options: OverlayOptions, sources: Sources, opensByHandle: boolean): string | null {
  if (!opensByHandle) return 'this user may not open files by their handles';
  const without = [sources.upper, ...sources.lowers].find((dir) => dir?.fs.handles === 'none');
  if (without) return `${without.option} '${without.path}' is on a filesystem without file handles`;
  const okay = originFilesystems(sources, options);
  const unclear = sources.lowers.find((dir) => dir.option !== 'datadir' && !okay.has(dir.fs));
  return unclear ? `the filesystem of lowerdir '${unclear.path}' has no uuid of its own` : null;
}

/** Turns off what upper does not support, with a warning, like ovl_make_workdir(). */
export function limitTo(
  options: OverlayOptions,
  features: UpperFeatures,
  warnings: string[],
): OverlayOptions {
  let { redirectDir, metacopy, index, whiteout } = options;
  if (!features.xattr) {
    if (redirectDir === 'on' || metacopy || index) {
      warnings.push('upperdir holds no xattrs: redirect_dir, metacopy and index are off.');
    }
    redirectDir = 'nofollow';
    metacopy = false;
    index = false;
  }
  if (whiteout === 'chardev' && !features.chardev) {
    warnings.push(
      'upperdir can hold no device nodes here: whiteouts are written as xattr files (whiteout=xattr).',
    );
    whiteout = 'xattr';
  }
  return { ...options, redirectDir, metacopy, index, whiteout };
}
