/** Changes of an upper whose lowers are not given, as far as its marks show them. */
import { OwnXattrs } from '../overlay/own-xattrs.js';
import { UserError } from '../overlay/user-error.js';
import { WH_PREFIX } from '../overlay/whiteout.js';
import * as sys from '../sys/index.js';
import type { Change, DiffOptions } from './diff.js';
import { type PathLike, pathBytes, quoted, typeName } from './text.js';
import { hiddenBy, isWhiteoutAt, listSorted, openTop, rawXattr, walkTree } from './tree.js';
import { usesUserXattrs } from './view.js';

/**
 * An empty directory that no mount has marked is no upper: most likely an overlay is meant that is not mounted there. A mount
 * marks its upper with a uuid, where the filesystem has xattrs.
 */
function refuseUnused(top: number, own: OwnXattrs, path: PathLike): void {
  const names = sys.xattrNames(top, '');
  if (typeof names === 'number' || names.some((name) => name.startsWith(own.prefix))) return;
  if (listSorted(top, '.').length > 0) return;
  throw new UserError(
    `'${quoted(pathBytes(path))}' is an empty directory that is not marked as an upper, and nothing is mounted there; name a mount or an upper.`,
  );
}

/** Changes by the marks of `options.upper` alone, in the order of a walk. Throws a UserError if it is not an upper. */
export function diffAlone(options: DiffOptions): Change[] {
  const own = new OwnXattrs(usesUserXattrs(options));
  const changes: Change[] = [];
  const top = openTop(options.upper, 'upper directory');
  try {
    refuseUnused(top, own, options.upper);
    walkTree(top, ({ dirfd, name, path, type }, stat) => {
      const mark = (attribute: string): string | null =>
        rawXattr(dirfd, name, attribute)?.latin1Slice() ?? null;
      const prefix = path.slice(0, path.lastIndexOf('/') + 1);
      if (isWhiteoutAt(dirfd, name, stat, own)) changes.push({ kind: 'deleted', path, type: 'unknown' });
      else if (name.startsWith(WH_PREFIX)) {
        const hidden = hiddenBy(name);
        if (hidden !== null) changes.push({ kind: 'deleted', path: prefix + hidden, type: 'unknown' });
      } else changes.push(...present({ path, prefix, isDir: type === sys.S_IFDIR }, stat, own, mark));
      return true;
    });
  } finally {
    sys.close(top);
  }
  return changes;
}

function present(
  at: { readonly path: string; readonly prefix: string; readonly isDir: boolean },
  stat: sys.Stat,
  own: OwnXattrs,
  mark: (attribute: string) => string | null,
): Change[] {
  const { path, isDir } = at;
  const type = typeName(stat.mode);
  const size = type === 'file' ? { size: stat.size } : {};
  const redirect = mark(own.redirect);
  if (redirect !== null) {
    const from = redirect.startsWith('/') ? redirect.slice(1) : at.prefix + redirect;
    return [{ kind: 'renamed', path, type, from, what: ['unknown'], ...size }];
  }
  if (isDir && mark(own.opaque) === 'y') return [{ kind: 'replaced', path, type }];
  const copied = mark(own.origin) !== null;
  // A copied-up directory may exist only because of its contents.
  if (copied && isDir) return [];
  return [
    copied
      ? { kind: 'changed', path, type, what: ['unknown'], ...size }
      : { kind: 'added', path, type, ...size },
  ];
}
