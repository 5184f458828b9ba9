/** What can be wrong in a layer, and how a repair reaches it. */
import { OwnXattrs } from '../../overlay/own-xattrs.js';
import * as sys from '../../sys/index.js';
import { shown } from '../text.js';
import { openSub } from '../tree.js';

/** The kind of problem, as a word for programs. */
export type FindingCode =
  /** `.wh.NAME`, `.wh..wh..opq` and their relatives, which the kernel shows as files. */
  | 'aufs-whiteout'
  | 'aufs-opaque'
  | 'aufs-reserved'
  /** A whiteout or opaque mark in a form other than the desired one. */
  | 'whiteout-form'
  | 'opaque-form'
  /** An xattr whiteout in a directory that is not marked as holding such. */
  | 'unmarked-whiteout'
  | 'orphan-whiteout'
  | 'foreign-opaque'
  | 'foreign-owner'
  | 'wrong-namespace'
  | 'bad-opaque'
  | 'bad-redirect'
  | 'dangling-redirect'
  /** The lower part of a renamed directory shows at the old place, or in another directory, too. */
  | 'uncovered-redirect'
  | 'duplicate-redirect'
  | 'bad-origin'
  | 'stale-origin'
  | 'missing-impure'
  | 'metacopy-without-data'
  | 'unreadable'
  | 'stale-work'
  | 'volatile'
  | 'bad-index';

/** One problem. */
export interface Finding {
  readonly code: FindingCode;
  /** Directory that was checked. */
  readonly directory: string;
  /** Path in it. */
  readonly path: string;
  /** What is wrong, as a sentence without a full stop. */
  readonly problem: string;
  /** What a repair does; null: nothing can be done without losing something. */
  readonly repair: string | null;
  /** After a repair: whether it worked, and if not, why. */
  repaired?: boolean;
  failure?: string;
}

/** Changes `name` in the directory `dirfd`. Returns 0 or -errno. */
export type Repair = (dirfd: number, name: string) => number;

/** A finding together with the way to repair it. */
export interface Repairable {
  readonly finding: Finding;
  /** Top of the tree in which {@link path} is. */
  readonly top: number;
  /** latin1, from the top. */
  readonly path: string;
  readonly apply: Repair | null;
}

/** A finding as a check reports it. Without `apply` there is no repair. */
export interface Report {
  readonly code: FindingCode;
  readonly path: string;
  readonly problem: string;
  readonly repair?: string;
  readonly apply?: Repair;
}

/** Collects the findings of one directory tree. */
export class Findings {
  readonly list: Repairable[] = [];
  readonly #directory: string;
  readonly top: number;
  readonly own: OwnXattrs;

  constructor(directory: string, top: number, userxattr: boolean) {
    this.#directory = directory;
    this.top = top;
    this.own = new OwnXattrs(userxattr);
  }

  add({ code, path, problem, repair, apply }: Report): void {
    const finding: Finding = {
      code,
      directory: shown(this.#directory),
      path: shown(path),
      problem,
      repair: apply === undefined ? null : (repair ?? null),
    };
    this.list.push({ finding, top: this.top, path, apply: apply ?? null });
  }
}

const RDONLY_DIR = sys.O_RDONLY | sys.O_DIRECTORY | sys.O_CLOEXEC;

/** Carries out a repair. The path to the object is walked again, one directory at a time, following nothing. */
export function carryOut({ top, path, apply, finding }: Repairable): void {
  if (apply === null) return;
  const parts = path.split('/');
  const name = parts.pop()!;
  let dirfd = sys.openat(top, '.', RDONLY_DIR);
  for (const part of parts) {
    if (dirfd < 0) break;
    const next = openSub(dirfd, part);
    sys.close(dirfd);
    dirfd = next;
  }
  const rc = dirfd < 0 ? dirfd : apply(dirfd, name);
  if (dirfd >= 0) sys.close(dirfd);
  finding.repaired = rc >= 0;
  if (rc < 0) finding.failure = sys.errnoName(rc);
}
