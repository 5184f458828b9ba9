/** Attributes of files and filesystems: statx(2) and statfs(2), read without allocation, and filesystem uuids. */
import {
  AT_EMPTY_PATH,
  AT_NO_AUTOMOUNT,
  AT_STATX_DONT_SYNC,
  AT_SYMLINK_NOFOLLOW,
  S_IFCHR,
  S_IFMT,
  STATX_BASIC_STATS,
  STATX_BTIME,
  STATX_MNT_ID,
  TWO_32,
} from './consts.js';
import { native, path, result, TOO_LONG } from './ffi.js';
import { ioctl } from './file.js';

const MASK = STATX_BASIC_STATS | STATX_BTIME | STATX_MNT_ID;

const statxCall = native('int', 'statx', ['int', 'void *', 'int', 'uint', 'void *']);
const fstatfsCall = native('int', 'fstatfs', ['int', 'void *']);

const raw = Buffer.alloc(256);
const u32 = new Uint32Array(raw.buffer, raw.byteOffset, 64);
const i32 = new Int32Array(raw.buffer, raw.byteOffset, 64);
const u16 = new Uint16Array(raw.buffer, raw.byteOffset, 128);
const EMPTY = '';

/**
 * The result of the last successful {@link statx} or {@link fstatx} of this thread. 64-bit numbers that may pass
 * 2^53 (inode numbers) come as two signed 32-bit halves; seconds as a double, which is exact to 2^53.
 */
export class Stat {
  mode = 0;
  nlink = 0;
  uid = 0;
  gid = 0;
  /** Low and high half of the inode number as signed 32-bit integers. */
  inoLo = 0;
  inoHi = 0;
  size = 0;
  /** Allocated space in units of 512 bytes. */
  blocks = 0;
  blksize = 0;
  devMajor = 0;
  devMinor = 0;
  rdevMajor = 0;
  rdevMinor = 0;
  atime = 0;
  atimeNsec = 0;
  mtime = 0;
  mtimeNsec = 0;
  ctime = 0;
  ctimeNsec = 0;
  btime = 0;
  btimeNsec = 0;
  /** stx_attributes, e.g. 0x10 immutable, 0x20 append-only. */
  attributes = 0;
  /** Mount id (low half), 0 before Linux 5.8. */
  mntId = 0;

  /** Whether this is a whiteout: a character device 0:0. */
  get isWhiteout(): boolean {
    return (this.mode & S_IFMT) === S_IFCHR && this.rdevMajor === 0 && this.rdevMinor === 0;
  }
}

function decode(out: Stat): void {
  out.mode = u16[14]!;
  out.nlink = u32[4]!;
  out.uid = u32[5]!;
  out.gid = u32[6]!;
  out.attributes = u32[2]!;
  out.blksize = u32[1]!;
  out.inoLo = i32[8]!;
  out.inoHi = i32[9]!;
  out.size = u32[10]! + u32[11]! * TWO_32;
  out.blocks = u32[12]! + u32[13]! * TWO_32;
  out.atime = u32[16]! + i32[17]! * TWO_32;
  out.atimeNsec = u32[18]!;
  out.btime = u32[20]! + i32[21]! * TWO_32;
  out.btimeNsec = u32[22]!;
  out.ctime = u32[24]! + i32[25]! * TWO_32;
  out.ctimeNsec = u32[26]!;
  out.mtime = u32[28]! + i32[29]! * TWO_32;
  out.mtimeNsec = u32[30]!;
  out.rdevMajor = u32[32]!;
  out.rdevMinor = u32[33]!;
  out.devMajor = u32[34]!;
  out.devMinor = u32[35]!;
  out.mntId = u32[36]!;
}

/** Inode number as one double: exact up to 2^53. */
export function inodeNumber({ inoLo, inoHi }: Stat): number {
  return (inoLo >>> 0) + (inoHi >>> 0) * TWO_32;
}

let sync = 0;

/** Makes {@link statx} and {@link fstatx} of this thread use what the kernel has cached, without asking a server. */
export function trustCachedAttributes(): void {
  sync = AT_STATX_DONT_SYNC;
}

/** Attributes of `name` in the directory `dirfd`; a symlink is not followed. Returns 0 or -errno. */
export function statx(dirfd: number, name: string, out: Stat): number {
  const p = path(name);
  if (p === null) return TOO_LONG;
  const rc = statxCall(dirfd, p, AT_SYMLINK_NOFOLLOW | AT_NO_AUTOMOUNT | sync, MASK, raw);
  if (rc < 0) return result(rc);
  decode(out);
  return 0;
}

/**
 * Attributes of a path relative to `dirfd`, following symlinks: for paths typed by a user, never inside a layer. Returns 0 or
 * -errno.
 */
export function statxFollow(dirfd: number, name: string, out: Stat): number {
  const p = path(name);
  if (p === null) return TOO_LONG;
  const rc = statxCall(dirfd, p, 0, MASK, raw);
  if (rc < 0) return result(rc);
  decode(out);
  return 0;
}

/** Attributes of an open descriptor (O_PATH allowed). Returns 0 or -errno. */
export function fstatx(fd: number, out: Stat): number {
  const rc = statxCall(fd, path(EMPTY), AT_EMPTY_PATH | AT_NO_AUTOMOUNT | sync, MASK, raw);
  if (rc < 0) return result(rc);
  decode(out);
  return 0;
}

/** statfs(2), numbers in units of {@link StatFs.bsize} bytes. */
export class StatFs {
  /** Filesystem magic, e.g. 0xef53 for ext4. */
  type = 0;
  bsize = 0;
  blocks = 0;
  bfree = 0;
  bavail = 0;
  files = 0;
  ffree = 0;
  namelen = 0;
  frsize = 0;
  /** ST_* mount flags. */
  flags = 0;
}

const fsRaw = Buffer.alloc(128);

/** Capacity of the filesystem holding `fd`. Returns 0 or -errno. */
export function fstatfs(fd: number, out: StatFs): number {
  const rc = fstatfsCall(fd, fsRaw);
  if (rc < 0) return result(rc);
  const at = (i: number): number => fsRaw.readUInt32LE(i * 8) + fsRaw.readUInt32LE(i * 8 + 4) * TWO_32;
  out.type = fsRaw.readUInt32LE(0);
  out.bsize = at(1);
  out.blocks = at(2);
  out.bfree = at(3);
  out.bavail = at(4);
  out.files = at(5);
  out.ffree = at(6);
  out.namelen = at(8);
  out.frsize = at(9);
  out.flags = at(10);
  return 0;
}

const FS_IOC_GETFSUUID = 0x80111500;
const EXT4_IOC_GETFSUUID = 0x8008662c;
const BTRFS_IOC_FS_INFO = 0x8400941f;
const uuidRaw = Buffer.alloc(32);

/** Stores the uuid of the filesystem of `fd` (not O_PATH) in `into` (16 bytes). Returns 0, or -errno when it reports none. */
export function fsUuid(fd: number, into: Uint8Array): number {
  // struct fsuuid2: one byte of length, then the uuid. Linux 6.9.
  uuidRaw.fill(0);
  let rc = ioctl(fd, FS_IOC_GETFSUUID, uuidRaw);
  let at = 1;
  if (rc < 0) {
    // struct fsuuid of ext4: length, flags, then the uuid. Linux 6.0.
    uuidRaw.fill(0);
    uuidRaw.writeUInt32LE(16, 0);
    rc = ioctl(fd, EXT4_IOC_GETFSUUID, uuidRaw);
    at = 8;
  }
  if (rc < 0) return rc;
  into.set(uuidRaw.subarray(at, at + 16));
  return 0;
}

/**
 * The same of a btrfs, which answers neither, though overlayfs finds a uuid in its superblock: btrfs calls it fsid. No two
 * that are mounted share one, and it is that of all subvolumes.
 */
export function btrfsUuid(fd: number, into: Uint8Array): number {
  // struct btrfs_ioctl_fs_info_args: max_id, num_devices, fsid, and more.
  const info = Buffer.alloc(1024);
  const rc = ioctl(fd, BTRFS_IOC_FS_INFO, info);
  if (rc === 0) into.set(info.subarray(16, 32));
  return rc;
}
