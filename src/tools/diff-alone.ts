/** Changes of an upper whose lowers are not given: its marks tell what they can. */
import { OwnXattrs } from '../overlay/marks.js';
import { WH_OPAQUE, WH_PREFIX, WH_RESERVED } from '../overlay/whiteout.js';
import * as sys from '../sys/index.js';
import type { Change, DiffOptions } from './diff.js';
import { typeName } from './text.js';
import { openTop, rawXattr, walkTree } from './tree.js';
import { usesUserXattrs } from './view.js';

function nameOf(path: string): [string, string] {
  const slash = path.lastIndexOf('/') + 1;
  return [path.slice(0, slash), path.slice(slash)];
}

export function diffAlone(options: DiffOptions): Change[] {
  const own = new OwnXattrs(usesUserXattrs(options));
  const changes: Change[] = [];
  const top = openTop(options.upper, 'upper directory');
  try {
    walkTree(top, ({ dirfd, name, path, type }, stat) => {
      const mark = (attribute: string): string | null =>
        rawXattr(dirfd, name, attribute)?.latin1Slice() ?? null;
      const [prefix] = nameOf(path);
      const isXWhiteout = type === sys.S_IFREG && stat.size === 0 && mark(own.whiteout) !== null;
      if (stat.isWhiteout || isXWhiteout) changes.push({ kind: 'deleted', path, type: 'unknown' });
      else if (name.startsWith(WH_PREFIX)) {
        const hidden = prefix + name.slice(WH_PREFIX.length);
        if (name !== WH_OPAQUE && !name.startsWith(WH_RESERVED))
          changes.push({ kind: 'deleted', path: hidden, type: 'unknown' });
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
  // A copied-up directory is there for what is in it.
  if (copied && isDir) return [];
  return [
    copied
      ? { kind: 'changed', path, type, what: ['unknown'], ...size }
      : { kind: 'added', path, type, ...size },
  ];
}
