/** Default ACLs for objects that are built in work and so inherit nothing from the directory they are made for. */
import * as sys from '../sys/index.js';
import { must } from '../vfs/errors.js';
import type { Creation } from './create.js';
import type { Overlay } from './state.js';

const ACCESS = 'system.posix_acl_access';
const DEFAULT = 'system.posix_acl_default';

/** struct posix_acl_xattr_header and _entry: a version, then entries of tag, permissions, id. */
const HEADER = 4;
const ENTRY = 8;
const USER_OBJ = 0x01;
const GROUP_OBJ = 0x04;
const MASK = 0x10;
const OTHER = 0x20;

/**
 * Gives the new object `temp` in work the ACLs that it would have inherited from the directory `upperFd`, like the kernel's
 * posix_acl_create(): the requested mode counts then, not the umask. Without a default ACL the umask was applied already, and
 * there is nothing to do. Throws FsError.
 */
export function inheritAcl(ov: Overlay, upperFd: number, temp: string, what: Creation): void {
  if (what.type === sys.S_IFLNK) return;
  const size = sys.getxattr(upperFd, '', DEFAULT, ov.scratch, ov.scratch.length);
  if (size < HEADER) return;
  const inherited = Buffer.from(ov.scratch.subarray(0, size));
  const access = Buffer.from(inherited);
  masquerade(access, what.mode);
  must(sys.setxattr(ov.work, temp, ACCESS, access, size), 'set ACL');
  if (what.type === sys.S_IFDIR) must(sys.setxattr(ov.work, temp, DEFAULT, inherited, size), 'set ACL');
}

/** Removes what `mode` does not grant from the owner, the mask (or group) and the others (posix_acl_create_masq()). */
function masquerade(acl: Buffer, mode: number): void {
  let group = -1;
  let mask = -1;
  for (let at = HEADER; at + ENTRY <= acl.length; at += ENTRY) {
    const tag = acl.readUInt16LE(at);
    if (tag === USER_OBJ) limit(acl, at, mode >> 6);
    else if (tag === OTHER) limit(acl, at, mode);
    else if (tag === GROUP_OBJ) group = at;
    else if (tag === MASK) mask = at;
  }
  if (mask >= 0) limit(acl, mask, mode >> 3);
  else if (group >= 0) limit(acl, group, mode >> 3);
}

function limit(acl: Buffer, at: number, bits: number): void {
  acl.writeUInt16LE(acl.readUInt16LE(at + 2) & bits & 7, at + 2);
}
