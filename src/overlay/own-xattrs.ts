/** Names of the overlay's own xattrs on real objects. For their meaning see marks.ts. */
import { setxattr } from '../sys/index.js';

/** Names of our own xattrs under the prefix in force (`trusted.overlay.` or, with userxattr, `user.overlay.`). */
export class OwnXattrs {
  readonly prefix: string;
  readonly opaque: string;
  readonly redirect: string;
  readonly origin: string;
  readonly impure: string;
  readonly metacopy: string;
  readonly nlink: string;
  readonly upper: string;
  readonly uuid: string;
  readonly whiteout: string;
  readonly protattr: string;

  constructor(userxattr: boolean) {
    this.prefix = userxattr ? 'user.overlay.' : 'trusted.overlay.';
    this.opaque = `${this.prefix}opaque`;
    this.redirect = `${this.prefix}redirect`;
    this.origin = `${this.prefix}origin`;
    this.impure = `${this.prefix}impure`;
    this.metacopy = `${this.prefix}metacopy`;
    this.nlink = `${this.prefix}nlink`;
    this.upper = `${this.prefix}upper`;
    this.uuid = `${this.prefix}uuid`;
    this.whiteout = `${this.prefix}whiteout`;
    this.protattr = `${this.prefix}protattr`;
  }
}

/** The opaque mark that fuse-overlayfs writes; read in addition to our own. */
export const FOREIGN_OPAQUE = 'user.fuseoverlayfs.opaque';

const YES = Buffer.from('y');

/** Sets a boolean mark. Returns 0 or -errno. */
export function setMark(dirfd: number, name: string, attribute: string): number {
  return setxattr(dirfd, name, attribute, YES, YES.length);
}
