/**
 * Whether a filesystem's changes survive a crash in the order in which they were made: if a name exists afterwards, so does
 * all data that was written to its file before the file got that name. Then a copy-up need not wait for a flush.
 *
 * - ext4: when a page has been written, its blocks become part of the file in the running transaction (ext4_end_io_end()). A
 *   name given later is in that transaction or a later one, and committing to a journal on the same device flushes the disk's
 *   cache first. This does not hold without a journal, with an external one, or with `journal_async_commit`.
 * - xfs: the same through its log (xfs_end_io()), unless log or data are on other devices.
 * - tmpfs: nothing survives.
 *
 * Others are not trusted: on btrfs, for example, pages count as written before their file has the blocks.
 */
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename } from 'node:path';
import { fstatfs, fstatx, readMounts, Stat, StatFs } from '../sys/index.js';

const EXT_MAGIC = 0xef53;
const XFS_MAGIC = 0x58465342;
const TMPFS_MAGIC = 0x01021994;

const statFs = new StatFs();
const stat = new Stat();

/** For the filesystem that `fd` is on; also false where it can't be determined. */
export function commitsInOrder(fd: number): boolean {
  if (fstatfs(fd, statFs) < 0 || fstatx(fd, stat) < 0) return false;
  const device = `${stat.devMajor}:${stat.devMinor}`;
  try {
    switch (statFs.type) {
      case EXT_MAGIC:
        return ext4(device);
      case XFS_MAGIC:
        return xfs(device);
      default:
        return statFs.type === TMPFS_MAGIC;
    }
  } catch {
    // /proc or /sys is missing, or shows other devices than ours.
    return false;
  }
}

function ext4(device: string): boolean {
  const name = basename(readlinkSync(`/sys/dev/block/${device}`));
  // An internal journal is named after the device and the journal's inode; an external one after its device alone.
  const journal = readdirSync('/proc/fs/jbd2').some((entry) => entry.startsWith(`${name}-`));
  return journal && !/^journal_async_commit$/m.test(readFileSync(`/proc/fs/ext4/${name}/options`, 'latin1'));
}

function xfs(device: string): boolean {
  const mount = readMounts('xfs').find((each) => each.device === device);
  return mount !== undefined && !/(^|,)(logdev|rtdev)=/.test(mount.superOptions);
}
