/**
 * Numbers of the FUSE kernel ABI, spelled as in include/uapi/linux/fuse.h (7.45). All integers have the byte order of the
 * machine, which must be little-endian: fields are accessed through typed arrays.
 *
 * An opcode is in its row of the op table; here are only those that the session needs, too. Field offsets count from the end
 * of the request or reply header.
 */

export const FUSE_KERNEL_VERSION = 7;
/** The newest minor version whose structures this code knows. */
export const FUSE_KERNEL_MINOR_VERSION = 45;
/** The oldest minor version supported: from it on every request has the layout below. Linux 2.6.31. */
export const OLDEST_MINOR = 12;

export const FUSE_FORGET = 2;
export const FUSE_INIT = 26;
export const FUSE_BATCH_FORGET = 42;

/** struct fuse_in_header: len, opcode, unique, nodeid, uid, gid, pid, total_extlen, padding. */
export const IN_HEADER = 40;
/** struct fuse_out_header: len, error, unique. */
export const OUT_HEADER = 16;

/** Data of a WRITE starts here in the request: header and struct fuse_write_in. */
export const WRITE_DATA = 80;
/** Largest READ or WRITE: 256 pages of 4 KiB. */
export const MAX_DATA = 1 << 20;
export const PAGE_SIZE = 4096;

// INIT flags, low word.
export const FUSE_ASYNC_READ = 1 << 0;
export const FUSE_ATOMIC_O_TRUNC = 1 << 3;
export const FUSE_BIG_WRITES = 1 << 5;
export const FUSE_DONT_MASK = 1 << 6;
export const FUSE_HAS_IOCTL_DIR = 1 << 11;
export const FUSE_DO_READDIRPLUS = 1 << 13;
export const FUSE_NO_OPEN_SUPPORT = 1 << 17;
export const FUSE_PARALLEL_DIROPS = 1 << 18;
export const FUSE_POSIX_ACL = 1 << 20;
export const FUSE_ABORT_ERROR = 1 << 21;
export const FUSE_MAX_PAGES = 1 << 22;
export const FUSE_CACHE_SYMLINKS = 1 << 23;
export const FUSE_NO_OPENDIR_SUPPORT = 1 << 24;
export const FUSE_EXPLICIT_INVAL_DATA = 1 << 25;
export const FUSE_HANDLE_KILLPRIV_V2 = 1 << 28;
export const FUSE_SETXATTR_EXT = 1 << 29;
/** flags2 is valid, in the request and in the reply. */
export const FUSE_INIT_EXT = 1 << 30;

// INIT flags, high word (flags2): bit 32 of the ABI is bit 0 here.
/** Bit 37: the kernel reads and writes the backing file of an open file directly. Linux 6.9. */
export const FUSE_PASSTHROUGH = 1 << 5;
/** Bit 38: file handles can't be decoded; a nodeid is meaningless after this mount. Linux 6.9. */
export const FUSE_NO_EXPORT_SUPPORT = 1 << 6;

/** struct fuse_init_out, in bytes: before 7.23, and now. */
export const INIT_OUT_COMPAT_22 = 24;
export const INIT_OUT = 64;

// struct fuse_setattr_in.valid
export const FATTR_MODE = 1 << 0;
export const FATTR_UID = 1 << 1;
export const FATTR_GID = 1 << 2;
export const FATTR_SIZE = 1 << 3;
export const FATTR_ATIME = 1 << 4;
export const FATTR_MTIME = 1 << 5;
export const FATTR_FH = 1 << 6;
export const FATTR_ATIME_NOW = 1 << 7;
export const FATTR_MTIME_NOW = 1 << 8;
export const FATTR_KILL_SUIDGID = 1 << 11;

// Flags in the answer to OPEN, OPENDIR, CREATE.
export const FOPEN_KEEP_CACHE = 1 << 1;
export const FOPEN_CACHE_DIR = 1 << 3;
export const FOPEN_NOFLUSH = 1 << 5;
export const FOPEN_PASSTHROUGH = 1 << 7;

export const FUSE_GETATTR_FH = 1 << 0;
export const FUSE_OPEN_KILL_SUIDGID = 1 << 0;
export const FUSE_WRITE_KILL_SUIDGID = 1 << 2;
export const FUSE_FSYNC_FDATASYNC = 1 << 0;
export const FUSE_SETXATTR_ACL_KILL_SGID = 1 << 0;
/** The server may ask for memory that the argument points to: CUSE only. */
export const FUSE_IOCTL_UNRESTRICTED = 1 << 1;

/** Sizes of structures in replies. */
const FUSE_ATTR = 88;
/** nodeid, generation, entry_valid, attr_valid, entry_valid_nsec, attr_valid_nsec. */
export const ENTRY_HEAD = 40;
export const ENTRY_OUT = ENTRY_HEAD + FUSE_ATTR;
/** attr_valid, attr_valid_nsec, dummy. */
export const ATTR_HEAD = 16;
export const ATTR_OUT = ATTR_HEAD + FUSE_ATTR;
export const OPEN_OUT = 16;
export const WRITE_OUT = 8;
export const STATFS_OUT = 80;
/** attr_valid, attr_valid_nsec, flags, spare[2]. */
export const STATX_HEAD = 32;
export const STATX_OUT = STATX_HEAD + 256;
export const IOCTL_OUT = 16;
/** ino, off, namelen, type. */
export const DIRENT_HEAD = 24;

// Code of a message to the kernel: out_header.error with unique 0.
export const FUSE_NOTIFY_INVAL_INODE = 2;
