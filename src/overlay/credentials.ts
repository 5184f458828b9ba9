/** The identity under which this thread creates files: the caller's for what callers create, our own otherwise. */
import * as sys from '../sys/index.js';
import type { Caller } from '../vfs/types.js';
import type { Owners } from './owners.js';

/**
 * Remembers what is in force, so that successive requests of one caller cost no system call. Only the filesystem uid and gid
 * and the umask change; the thread keeps its capabilities (`keepCapabilities()`), since the kernel has already checked the
 * caller's permissions on the merged inode.
 */
export class Credentials {
  /** Whether callers' identities are assumed. */
  readonly #takes: boolean;
  readonly #owners: Owners | null;
  readonly #uid: number;
  readonly #gid: number;
  #fsuid: number;
  #fsgid: number;
  #umask: number;

  /**
   * `privileged`: other identities may be assumed. Otherwise, and where owners are kept in xattrs, everything is created as
   * ourselves.
   */
  constructor(privileged: boolean, owners: Owners | null) {
    this.#takes = privileged && (owners === null || owners.written === null);
    this.#owners = owners;
    this.#uid = process.geteuid!();
    this.#gid = process.getegid!();
    this.#fsuid = this.#uid;
    this.#fsgid = this.#gid;
    this.#umask = sys.umask(0);
    sys.umask(this.#umask);
  }

  /** Assumes the caller's identity and umask. */
  as(caller: Caller): void {
    if (this.#takes) {
      const owners = this.#owners;
      if (owners === null) this.#identity(caller.uid, caller.gid);
      else this.#identity(owners.storedUid(caller.uid), owners.storedGid(caller.gid));
    }
    this.#mask(caller.umask);
  }

  /** Returns to our own identity, without a umask: modes are used as given. */
  self(): void {
    if (this.#takes) this.#identity(this.#uid, this.#gid);
    this.#mask(0);
  }

  /** Whether these are our own ids, which anything created after {@link self} has. */
  isSelf(uid: number, gid: number): boolean {
    return uid === this.#uid && gid === this.#gid;
  }

  #identity(uid: number, gid: number): void {
    if (this.#fsgid !== gid) {
      sys.setfsgid(gid);
      this.#fsgid = gid;
    }
    if (this.#fsuid !== uid) {
      sys.setfsuid(uid);
      this.#fsuid = uid;
    }
  }

  #mask(mask: number): void {
    if (this.#umask === mask) return;
    sys.umask(mask);
    this.#umask = mask;
  }
}
