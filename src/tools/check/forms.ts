/** The three forms of "nothing here" and "nothing below", and how one becomes another. */
import { FOREIGN_OPAQUE, type OwnXattrs, setMark } from '../../overlay/own-xattrs.js';
import { WH_OPAQUE, WH_PREFIX } from '../../overlay/whiteout.js';
import * as sys from '../../sys/index.js';
import { rawXattr } from '../tree.js';

/** `chardev`: the kernel's own; `xattr`: for places without device nodes; `aufs`: as in OCI layers. */
export type WhiteoutForm = 'chardev' | 'xattr' | 'aufs';

const CONTAINS = Buffer.from('x');
const CREATE = sys.O_WRONLY | sys.O_CREAT | sys.O_EXCL | sys.O_NOFOLLOW | sys.O_CLOEXEC;
const TEMPORARY = '.plyfs-check-tmp';

function makeEmpty(dirfd: number, name: string): number {
  const fd = sys.openat(dirfd, name, CREATE, 0o644);
  return fd < 0 ? fd : sys.close(fd);
}

/** Marks `dirfd` as a directory that holds xattr whiteouts; one that is opaque hides everything anyway. */
export function markContains(dirfd: number, own: OwnXattrs): number {
  if (rawXattr(dirfd, '', own.opaque)?.latin1Slice() === 'y') return 0;
  return sys.setxattr(dirfd, '', own.opaque, CONTAINS, 1);
}

/** Makes a whiteout of `name` in a form in `dirfd`, and removes `instead`, another form of it. Returns 0 or -errno. */
export function replaceWhiteout(
  dirfd: number,
  name: string,
  instead: string,
  form: WhiteoutForm,
  own: OwnXattrs,
): number {
  sys.unlinkat(dirfd, TEMPORARY);
  let rc: number;
  if (form === 'chardev') rc = sys.mknodat(dirfd, TEMPORARY, sys.S_IFCHR);
  else rc = makeEmpty(dirfd, TEMPORARY);
  if (rc >= 0 && form === 'xattr') {
    rc = setMark(dirfd, TEMPORARY, own.whiteout);
    if (rc >= 0) rc = markContains(dirfd, own);
  }
  const to = form === 'aufs' ? WH_PREFIX + name : name;
  // commit point
  if (rc >= 0) rc = sys.renameat2(dirfd, TEMPORARY, dirfd, to);
  if (rc < 0) {
    sys.unlinkat(dirfd, TEMPORARY);
    return rc;
  }
  return instead === to ? 0 : sys.unlinkat(dirfd, instead);
}

/** Marks the open directory `dirfd` opaque in a form, and removes the other forms. Returns 0 or -errno. */
export function replaceOpaque(dirfd: number, form: WhiteoutForm, own: OwnXattrs): number {
  if (form === 'aufs') {
    const rc = makeEmpty(dirfd, WH_OPAQUE);
    if (rc < 0 && rc !== -sys.EEXIST) return rc;
    sys.removexattr(dirfd, '', own.opaque);
  } else {
    const rc = setMark(dirfd, '', own.opaque);
    if (rc < 0) return rc;
    const gone = sys.unlinkat(dirfd, WH_OPAQUE);
    if (gone < 0 && gone !== -sys.ENOENT) return gone;
  }
  sys.removexattr(dirfd, '', FOREIGN_OPAQUE);
  return 0;
}
