/**
 * What this transport can't do, because libfuse 2.9 or fuse-native does not pass it on. One row each: the tests print
 * the reason of what they skip, and native-notes/fuse-native.md shows each with a command.
 */

/** A name for each limit. */
export type Limit =
  | 'caller-identity'
  | 'non-utf8-names'
  | 'rename-flags'
  | 'inode-numbers-64-bit'
  | 'nanoseconds'
  | 'one-time-alone'
  | 'times-before-1970'
  | 'acl'
  | 'fallocate'
  | 'seek-holes'
  | 'copy-file-range'
  | 'ioctl'
  | 'tmpfile'
  | 'syncfs'
  | 'hidden-names'
  | 'remove-directory-of-unlinked'
  | 'mount-point'
  | 'mount-flags'
  | 'passthrough';

/** Why not, and what happens instead. */
export const LIMITS: Readonly<Record<Limit, string>> = {
  'caller-identity':
    'fuse-native does not say who asks: only the mounting user may enter (unless allow_other), and owns what is created',
  'non-utf8-names':
    'fuse-native passes names and symlink targets as UTF-8 text: what is not UTF-8 answers EILSEQ',
  'rename-flags':
    'libfuse 2.9 has no rename flags: RENAME_NOREPLACE, RENAME_EXCHANGE and RENAME_WHITEOUT answer EINVAL',
  'inode-numbers-64-bit':
    'fuse-native passes 32 bits of an inode number: larger ones are replaced by unique small ones, not stable over mounts',
  nanoseconds: 'fuse-native passes times in milliseconds',
  'one-time-alone':
    'libfuse 2.9 drops a change of atime or mtime alone (`touch -a`, tar) without telling anyone; both together work',
  'times-before-1970': 'fuse-native reads times as unsigned: they can be set, and show as 1970',
  acl: 'libfuse 2.9 does not let the kernel enforce POSIX ACLs: system.posix_acl_* answers EOPNOTSUPP',
  fallocate: 'fuse-native has no fallocate: EOPNOTSUPP',
  'seek-holes': 'libfuse 2.9 has no lseek: SEEK_HOLE and SEEK_DATA see a file without holes',
  'copy-file-range': 'libfuse 2.9 has no copy_file_range: the kernel reads and writes instead',
  ioctl: 'fuse-native has no ioctl: chattr and lsattr answer EOPNOTSUPP, others ENOTTY',
  tmpfile: 'libfuse 2.9 has no O_TMPFILE: EOPNOTSUPP',
  syncfs: 'libfuse 2.9 has no syncfs: syncfs(2) flushes nothing; fsync(2) does',
  'hidden-names': 'libfuse 2.9 keeps names like .fuse_hidden0000000200000001 for itself: they answer EPERM',
  'remove-directory-of-unlinked':
    "libfuse 2.9 finds an unlinked open file through its directory: that directory can't be removed (EBUSY) until the file is closed",
  'mount-point':
    'fuse-native takes a mount point of at most 1023 bytes of UTF-8, which is no mount point already',
  'mount-flags': 'libfuse 2.9 knows ro, nosuid, nodev, noexec, sync, dirsync and noatime only',
  passthrough: 'libfuse 2.9 has no passthrough: data travels through the page cache',
};
