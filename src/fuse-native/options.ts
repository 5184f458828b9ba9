/** Mount options in libfuse 2.9's words. */

/** What {@link optionText} puts into words. */
export interface ChannelOptions {
  /** First field of a mount table line. */
  readonly source: string;
  readonly allowOther: boolean;
  /** Mount words that libfuse knows: ro, nosuid, nodev, noexec, sync, dirsync, noatime. */
  readonly flags: readonly string[];
  readonly maxRead: number | null;
  /** The mount point is not empty, which libfuse refuses without this option. */
  readonly nonEmpty: boolean;
  /** mount(2) is permitted, and with it suid and dev; fusermount accepts neither. */
  readonly privileged: boolean;
}

/** The addon's buffer for mount options, and for the mount point, NUL included. */
export const MAX_TEXT = 1024;

/** Seconds for which names may be cached: they change only through this mount. */
const ENTRY_SECONDS = 3600;

/**
 * `use_ino`: st_ino is ours. `big_writes`: more than one page per request. Attributes are not cached: libfuse has a node for
 * each name, so a change through one hard link would not be seen through another.
 */
export function optionText(options: ChannelOptions): string {
  const { flags, privileged } = options;
  const words = [
    'subtype=plyfs',
    `fsname=${options.source.replace(/[\\,]/g, '\\$&')}`,
    'default_permissions',
    'use_ino',
    'big_writes',
    `entry_timeout=${ENTRY_SECONDS}`,
    `negative_timeout=${ENTRY_SECONDS}`,
    'attr_timeout=0',
    ...flags,
    ...(privileged && !flags.includes('nosuid') ? ['suid'] : []),
    ...(privileged && !flags.includes('nodev') ? ['dev'] : []),
    ...(options.allowOther ? ['allow_other'] : []),
    ...(options.maxRead === null ? [] : [`max_read=${options.maxRead}`]),
    ...(options.nonEmpty ? ['nonempty'] : []),
  ];
  return `-o${words.join(',')}`;
}
