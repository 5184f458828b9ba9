/** Making and ending the mount itself: mount(2), or fusermount3 where that is not permitted. */
import { realpathSync, statSync } from 'node:fs';
import { readFile, writeFile } from 'node:fs/promises';
import { UserError } from '../overlay/user-error.js';
import * as sys from '../sys/index.js';
import { findFusermount, fusermount, fuserunmount } from './fusermount.js';

/** Shown in /proc/self/mountinfo. */
export const FS_TYPE = 'fuse.plyfs';

/** How a mount is to be made; text is latin1, one char a byte. */
export interface AttachOptions {
  /** First field of a mount table line. */
  readonly source: string;
  /** Absolute, without symlinks: see {@link resolveMountpoint}. */
  readonly target: string;
  /** MS_* flags. */
  readonly flags: number;
  /**
   * Other users may enter. `auto`: only when root mounts. Whatever others create in a plain user's mount belongs to that
   * user, who has no privilege to give it away, so there it must be asked for.
   */
  readonly allowOther: boolean | 'auto';
  /** The kernel checks permissions by owner and mode. */
  readonly defaultPermissions: boolean;
  /** Largest READ in bytes; null: the kernel's limit. */
  readonly maxRead: number | null;
  /** Further options for the kernel as they stand: SELinux contexts. */
  readonly extra: readonly string[];
}

/** A mount that exists. */
export interface Attachment {
  /** Descriptor of its /dev/fuse connection. */
  readonly fd: number;
  readonly target: string;
  /** `major:minor` of the filesystem. */
  readonly device: string;
  /** Path of fusermount when it made the mount; null for mount(2). */
  readonly fusermount: string | null;
}

/** Mount flags that FUSE programs take as words. */
export const FLAG_WORDS: readonly (readonly [number, string])[] = [
  [sys.MS_RDONLY, 'ro'],
  [sys.MS_NOSUID, 'nosuid'],
  [sys.MS_NODEV, 'nodev'],
  [sys.MS_NOEXEC, 'noexec'],
  [sys.MS_SYNCHRONOUS, 'sync'],
  [sys.MS_DIRSYNC, 'dirsync'],
  [sys.MS_NOATIME, 'noatime'],
];

/** Code of a failed system call; anything else is rethrown. */
function codeOf(error: unknown): string {
  if (sys.isSystemError(error)) return error.code;
  throw error;
}

/** The mount point as an absolute path without symlinks. Throws a UserError if nothing can be mounted there. */
export function resolveMountpoint(given: string): string {
  const bytes = Buffer.from(given, 'latin1');
  try {
    const real = realpathSync.native(bytes, 'buffer').toString('latin1');
    if (!statSync(Buffer.from(real, 'latin1')).isDirectory()) {
      throw new UserError(`the mount point '${given}' is not a directory.`);
    }
    if (`${real}/`.startsWith('/proc/')) {
      throw new UserError(
        `the mount point '${given}' is in /proc, which the server itself needs; choose another place.`,
      );
    }
    if (sys.mountAt(real)?.fsType === FS_TYPE)
      throw new UserError(`the mount point '${given}' has a plyfs mount already; unmount that first.`);
    return real;
  } catch (error) {
    if (error instanceof UserError) throw error;
    throw new UserError(mountpointProblem(given, codeOf(error)));
  }
}

function mountpointProblem(given: string, code: string): string {
  switch (code) {
    case 'ENOENT':
      return given === ''
        ? 'the mount point is empty; name a directory.'
        : `the mount point '${given}' does not exist; create it or correct the path.`;
    case 'ENOTDIR':
      return `the mount point '${given}', or a part of its path, is not a directory.`;
    case 'EACCES':
      return `the mount point '${given}' can't be reached: permission denied.`;
    case 'ENOTCONN':
      return `the mount point '${given}' holds a dead mount; run 'umount ${given}' first.`;
    case 'ENAMETOOLONG':
      return `the mount point '${given}' can't be used: its path is too long.`;
    case 'ELOOP':
      return `the mount point '${given}' can't be used: its symbolic links lead in a circle.`;
    default:
      return `the mount point '${given}' can't be used: ${code}.`;
  }
}

function letsOthersIn({ allowOther }: AttachOptions): boolean {
  return allowOther === 'auto' ? process.geteuid!() === 0 : allowOther;
}

/** Option text for mount(2). */
function kernelData(options: AttachOptions, fd: number): string {
  const words = [
    `fd=${fd}`,
    'rootmode=40000',
    `user_id=${process.geteuid!()}`,
    `group_id=${process.getegid!()}`,
    ...(options.defaultPermissions ? ['default_permissions'] : []),
    ...(letsOthersIn(options) ? ['allow_other'] : []),
    ...(options.maxRead !== null ? [`max_read=${options.maxRead}`] : []),
    ...options.extra,
  ];
  const data = words.join(',');
  if (data.length > sys.MOUNT_DATA_MAX) throw new UserError('the mount options are too long for the kernel.');
  return data;
}

/** The same for fusermount, which has its own escapes. */
function fusermountWords(options: AttachOptions): string {
  const escaped = options.source.replace(/[\\,]/g, '\\$&');
  return [
    `fsname=${escaped}`,
    'subtype=plyfs',
    ...FLAG_WORDS.flatMap(([flag, word]) => (options.flags & flag ? [word] : [])),
    ...(options.defaultPermissions ? ['default_permissions'] : []),
    ...(letsOthersIn(options) ? ['allow_other'] : []),
    ...(options.maxRead !== null ? [`max_read=${options.maxRead}`] : []),
  ].join(',');
}

/** Opens /dev/fuse. Returns -EACCES or -EPERM where fusermount may still help. */
function openDevice(): number {
  const fd = sys.openat(sys.AT_FDCWD, '/dev/fuse', sys.O_RDWR | sys.O_CLOEXEC);
  switch (-fd) {
    case sys.ENOENT:
    case sys.ENODEV:
    case sys.ENXIO:
      throw new UserError("there is no /dev/fuse here: load the kernel's fuse module ('modprobe fuse').");
    case sys.EMFILE:
    case sys.ENFILE:
      throw new UserError('too many open files to open /dev/fuse.');
    default:
      return fd;
  }
}

function mountProblem(target: string, rc: number): string {
  switch (-rc) {
    case sys.ENODEV:
      return "this kernel has no FUSE filesystem: load its fuse module ('modprobe fuse').";
    case sys.EINVAL:
      return `the kernel refused the options of the mount at '${target}'.`;
    case sys.EBUSY:
      return `the mount point '${target}' is busy.`;
    case sys.ENOSPC:
      return 'there are too many mounts in this mount namespace.';
    default:
      return `mounting at '${target}' failed: ${sys.errnoName(rc)}.`;
  }
}

/** mount(2). Returns a descriptor, or -EPERM or -EACCES when this process may not. */
function attachDirectly(options: AttachOptions): number {
  const fd = openDevice();
  if (fd < 0) return fd;
  const rc = sys.mount({
    source: options.source,
    target: options.target,
    type: FS_TYPE,
    flags: options.flags,
    data: kernelData(options, fd),
  });
  if (rc >= 0) return fd;
  sys.close(fd);
  if (rc === -sys.EPERM || rc === -sys.EACCES) return rc;
  throw new UserError(mountProblem(options.target, rc));
}

async function attachByFusermount(program: string, options: AttachOptions): Promise<number> {
  const got = await fusermount(program, options.target, fusermountWords(options));
  if (typeof got === 'string') throw new UserError(`fusermount can't mount at ${options.target}: ${got}.`);
  return got;
}

/** Mounts. The connection's first request is waiting on the returned descriptor. */
export async function attach(options: AttachOptions): Promise<Attachment> {
  const direct = attachDirectly(options);
  const program = direct < 0 ? findFusermount() : null;
  if (direct < 0 && program === null) {
    throw new UserError(
      `not permitted to mount at ${options.target}: run as root, or install fusermount3 (the fuse3 package).`,
    );
  }
  const fd = program === null ? direct : await attachByFusermount(program, options);
  const device = sys.mountAt(options.target)?.device ?? '';
  return { fd, target: options.target, device, fusermount: program };
}

/** The kernel reads 128 KiB of a FUSE file ahead; a larger window halves the time of a first sequential read. */
const READ_AHEAD_KB = 1024;

/** Raises the mount's read-ahead, where this process may. */
export async function raiseReadAhead(mount: Attachment): Promise<void> {
  const file = `/sys/class/bdi/${mount.device}/read_ahead_kb`;
  try {
    if (Number(await readFile(file, 'latin1')) < READ_AHEAD_KB) await writeFile(file, String(READ_AHEAD_KB));
  } catch (error) {
    codeOf(error); // not root, or /sys is read-only: reads are merely slower
  }
}

/** The plyfs mount at `target`, for {@link detach}; null when there is none. */
export function attachedAt(target: string): Attachment | null {
  const mount = sys.mountAt(target);
  if (mount === null || mount.fsType !== FS_TYPE) return null;
  const isRoot = process.geteuid!() === 0;
  return { fd: -1, target, device: mount.device, fusermount: isRoot ? null : findFusermount() };
}

/** Ends the mount; `lazy`: take it out of the tree at once, even when it is busy. Throws a UserError. */
export async function detach(mount: Attachment, lazy: boolean): Promise<void> {
  const top = sys.mountAt(mount.target);
  if (top === null || top.device !== mount.device) {
    if (!sys.readMounts().some((m) => m.device === mount.device)) return; // somebody else unmounted it first
    throw new UserError(`${mount.target} is covered by another mount; unmount that first.`);
  }
  if (mount.fusermount !== null) {
    const complaint = await fuserunmount(mount.fusermount, mount.target, lazy);
    if (complaint === null) return;
    if (/busy/i.test(complaint)) throw new UserError(busy(mount.target));
    throw new UserError(`fusermount can't unmount ${mount.target}: ${complaint}.`);
  }
  const rc = await sys.umount2(mount.target, (lazy ? sys.MNT_DETACH : 0) | sys.UMOUNT_NOFOLLOW);
  if (rc >= 0 || rc === -sys.EINVAL) return; // EINVAL: no longer a mount
  throw new UserError(
    rc === -sys.EBUSY ? busy(mount.target) : `can't unmount ${mount.target}: ${sys.errnoName(rc)}.`,
  );
}

/**
 * Ends a mount that nobody needs any more at once, also where another mount namespace has it: who still uses it there gets
 * ENOTCONN. A plain user's mount lives on there. Throws a UserError.
 */
export async function detachByForce(mount: Attachment): Promise<void> {
  if (mount.fusermount === null && sys.mountAt(mount.target)?.device === mount.device) {
    const flags = sys.MNT_FORCE | sys.MNT_DETACH | sys.UMOUNT_NOFOLLOW;
    if ((await sys.umount2(mount.target, flags)) >= 0) return;
  }
  await detach(mount, true);
}

function busy(target: string): string {
  return `${target} is busy: a process has a file open or its working directory there.`;
}
