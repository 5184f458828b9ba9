/** `plyfs diff`: what an upper changes against its lowers. */
import { type Inode, isMerge } from '../overlay/inode.js';
import { isWhiteoutEntry, WH_PREFIX } from '../overlay/whiteout.js';
import * as sys from '../sys/index.js';
import { compare, type Difference, factsOf, type Side } from './compare.js';
import { diffAlone } from './diff-alone.js';
import { textDiff } from './diff-text.js';
import { byBytes, type ObjectType, type PathLike, shown, typeName } from './text.js';
import { checkDepth, hiddenBy } from './tree.js';
import { type Stack, View } from './view.js';

/** `replaced`: by an object of another type, or a directory by one that is not merged with it. */
export type ChangeKind = 'added' | 'changed' | 'deleted' | 'replaced' | 'renamed' | 'unchanged';

/** One change. Paths are from the root of the merged view, without a leading slash; `.` is the root itself. */
export interface Change {
  readonly kind: ChangeKind;
  readonly path: string;
  readonly type: ObjectType;
  /** `renamed`: where it was. */
  readonly from?: string;
  /** Bytes of a file now and before. */
  readonly size?: number;
  readonly sizeBefore?: number;
  /** `replaced`: what was there. */
  readonly typeBefore?: ObjectType;
  /** `changed` and `renamed`: in what. */
  readonly what?: readonly Difference[];
  /** The change of a text file, as a unified diff; only when asked for. */
  readonly patch?: string;
}

/** The stack to compare. Without lowers, only the marks in the upper are available. */
export interface DiffOptions extends Omit<Stack, 'upper'> {
  readonly upper: PathLike;
  /** Also report copies that do not differ from their lower. */
  readonly unchanged?: boolean;
  /** Add a unified diff to each text file that changed. */
  readonly patch?: boolean;
}

/** Changes by their kind, and bytes of file data. */
export interface DiffSummary {
  readonly added: number;
  readonly changed: number;
  readonly deleted: number;
  readonly replaced: number;
  readonly renamed: number;
  readonly unchanged: number;
  /** Bytes of files that are new or have new content, and of those that are gone. */
  readonly bytesAdded: number;
  readonly bytesRemoved: number;
  /** Bytes of copies that do not differ from their lower. */
  readonly bytesUnchanged: number;
}

/** What {@link diff} found; changes are in byte order of their paths. */
export interface DiffResult {
  readonly changes: readonly Change[];
  readonly summary: DiffSummary;
}

interface MutableChange extends Change {
  /** Handle of the lower object that it is a copy of: how a moved file is recognised. */
  readonly identity?: string;
  /** `deleted`: its path in the lowers, which differs below a renamed directory. */
  readonly lowerPath?: string;
}

/** A directory of the lowers, and its path there with a slash at the end. */
interface Place {
  readonly dir: Inode;
  readonly prefix: string;
}

/**
 * Where the lower part of a redirected directory or metacopy is; null when it is at its own place. `prefix`: path of
 * the directory that holds it, as the lowers have it.
 */
function movedFrom(inode: Inode, prefix: string): string | null {
  if (inode.dir !== null) {
    const { redirect } = inode.dir;
    if (redirect === null || inode.dir.real.length < 2) return null;
    return redirect.startsWith('/') ? redirect.slice(1) : prefix + redirect;
  }
  if (inode.data === null) return null;
  let path = inode.data.name;
  for (let { dir } = inode.data; dir.parent !== null; dir = dir.parent) path = `${dir.name}/${path}`;
  return path === prefix + inode.name ? null : path;
}

/** Walks an upper beside two views: all layers, and the lowers alone. */
class Differ {
  readonly changes: MutableChange[] = [];
  /** Files that were deleted, by handle: their paths in the lowers. */
  readonly gone = new Map<string, string>();
  readonly #above: View;
  readonly #below: View;
  readonly #options: DiffOptions;

  constructor(above: View, below: View, options: DiffOptions) {
    this.#above = above;
    this.#below = below;
    this.#options = options;
  }

  run(): void {
    this.#compareDirs(this.#above.root, this.#below.root, '.', '.');
    this.#directory(this.#above.root, { dir: this.#below.root, prefix: '' }, '');
  }

  /** Everything that the upper has in `inode`; `before` is the same directory of the lowers. */
  #directory(inode: Inode, before: Place | null, prefix: string): void {
    checkDepth(prefix);
    const real = inode.dir!.upper;
    if (real === null) return;
    const gone: string[] = [];
    const present = new Set<string>();
    for (const { name, type } of this.#above.ov.dirs.read(real).sort((a, b) => byBytes(a.name, b.name))) {
      if (name.startsWith(WH_PREFIX)) {
        const hidden = hiddenBy(name);
        if (hidden !== null) gone.push(hidden);
      } else if (isWhiteoutEntry(this.#above.ov, real, name, type)) gone.push(name);
      else {
        present.add(name);
        this.#entry(inode, before, name, prefix);
      }
    }
    if (before === null) return;
    // In an opaque directory, everything is deleted that was not created again.
    const all = isMerge(inode.dir!) ? gone : this.#below.names(before.dir, before.prefix);
    for (const name of all) if (!present.has(name)) this.#deleted(before, name, prefix + name);
  }

  #deleted(before: Place, name: string, path: string): void {
    const lowerPath = before.prefix + name;
    const old = this.#below.find(before.dir, name, lowerPath);
    if (old === null) return;
    const type = typeName(this.#below.stat.mode);
    const sizeBefore = this.#gone(old, lowerPath);
    this.changes.push({ kind: 'deleted', path, type, lowerPath, ...(sizeBefore > 0 ? { sizeBefore } : {}) });
    this.#below.drop(old);
  }

  /** Remembers the files that were at a path and below it, and returns their size. `stat` is the inode's. */
  #gone(inode: Inode, path: string): number {
    if (inode.dir === null) {
      const handle = this.#below.handle(inode);
      if (handle !== null) this.gone.set(handle, path);
      return inode.type === sys.S_IFREG ? this.#below.stat.size : 0;
    }
    checkDepth(`${path}/`);
    let size = 0;
    for (const name of this.#below.names(inode, path)) {
      const child = this.#below.find(inode, name, path);
      if (child === null) continue;
      size += this.#gone(child, `${path}/${name}`);
      this.#below.drop(child);
    }
    return size;
  }

  #entry(parent: Inode, parentBefore: Place | null, name: string, prefix: string): void {
    const path = prefix + name;
    const inode = this.#above.find(parent, name, path);
    if (inode === null) return;
    const now: Side = { view: this.#above, inode, path, facts: factsOf(this.#above.stat) };
    const from = movedFrom(inode, parentBefore?.prefix ?? prefix);
    const oldPath = from ?? (parentBefore?.prefix ?? prefix) + name;
    let old = from === null ? null : this.#below.resolve(from);
    if (from === null && parentBefore !== null) old = this.#below.find(parentBefore.dir, name, oldPath);
    const before = old === null ? null : this.#before(old, oldPath);
    this.#report(now, before, from);
    if (inode.dir !== null) {
      const place = old === null || old.dir === null ? null : { dir: old, prefix: `${oldPath}/` };
      this.#directory(inode, place, `${path}/`);
    }
    this.#above.drop(inode);
    if (old !== null) this.#below.drop(old);
  }

  #before(inode: Inode, path: string): Side {
    return { view: this.#below, inode, path, facts: factsOf(this.#below.statOf(inode, path)) };
  }

  #report(now: Side, before: Side | null, from: string | null): void {
    const { path, facts, inode } = now;
    const type = typeName(facts.mode);
    const size = inode.type === sys.S_IFREG ? { size: facts.size } : {};
    if (before === null) {
      const identity = inode.dir === null ? this.#above.origin(inode) : null;
      this.changes.push({ kind: 'added', path, type, ...size, ...(identity === null ? {} : { identity }) });
      return;
    }
    const oldSize = before.inode.type === sys.S_IFREG ? { sizeBefore: before.facts.size } : {};
    if (inode.type !== before.inode.type) {
      const typeBefore = typeName(before.facts.mode);
      this.changes.push({ kind: 'replaced', path, type, typeBefore, ...size, ...oldSize });
    } else if (inode.dir !== null) {
      this.#compareDirs(inode, before.inode, path, from);
    } else {
      const what = compare(now, before);
      const patch = this.#options.patch && what.includes('content') ? textDiff(now, before) : {};
      const kind = from !== null ? 'renamed' : what.length > 0 ? 'changed' : 'unchanged';
      const source = from === null ? {} : { from };
      this.changes.push({ kind, path, type, ...source, what, ...size, ...oldSize, ...patch });
    }
  }

  #compareDirs(inode: Inode, before: Inode, path: string, from: string | null): void {
    const side = (view: View, of: Inode): Side => ({
      view,
      inode: of,
      path,
      facts: factsOf(view.statOf(of, path)),
    });
    const what = compare(side(this.#above, inode), side(this.#below, before));
    if (from !== null && from !== '.')
      this.changes.push({ kind: 'renamed', path, type: 'directory', from, what });
    else if (inode !== this.#above.root && !isMerge(inode.dir!))
      this.changes.push({ kind: 'replaced', path, type: 'directory', typeBefore: 'directory', what });
    else if (what.length > 0) this.changes.push({ kind: 'changed', path, type: 'directory', what });
  }
}

/** A rename leaves a deletion and an addition with one identity: they become one change. */
function joinRenames(changes: readonly MutableChange[], gone: ReadonlyMap<string, string>): MutableChange[] {
  // The whiteout that a rename left at the old name is a part of it.
  const sources = new Set(changes.flatMap((change) => change.from ?? []));
  const joined = changes.map((change): MutableChange => {
    const { identity, kind } = change;
    const from = kind === 'added' && identity !== undefined ? gone.get(identity) : undefined;
    if (from === undefined || sources.has(from)) return change;
    sources.add(from);
    return { ...change, kind: 'renamed', from };
  });
  return joined.filter(({ lowerPath }) => lowerPath === undefined || !sources.has(lowerPath));
}

function summarise(changes: readonly Change[]): DiffSummary {
  const count = { added: 0, changed: 0, deleted: 0, replaced: 0, renamed: 0, unchanged: 0 };
  let bytesAdded = 0;
  let bytesRemoved = 0;
  let bytesUnchanged = 0;
  for (const { kind, size = 0, sizeBefore = 0, what = [] } of changes) {
    count[kind]++;
    if (kind === 'unchanged') bytesUnchanged += size;
    if (kind === 'added' || kind === 'replaced' || what.includes('content')) bytesAdded += size;
    if (kind === 'deleted' || kind === 'replaced' || what.includes('content')) bytesRemoved += sizeBefore;
  }
  return { ...count, bytesAdded, bytesRemoved, bytesUnchanged };
}

/** Paths as text: everything before this worked on bytes. */
function printable({ identity: _, lowerPath: _path, ...change }: MutableChange): Change {
  const from = change.from === undefined ? {} : { from: shown(change.from) };
  return { ...change, path: shown(change.path), ...from };
}

/**
 * What `upper` changes against the lowers. Without lowers only the marks in the upper are available, and how a copied-up object
 * differs is unknown. Throws a UserError.
 */
export function diff(options: DiffOptions): DiffResult {
  let changes: MutableChange[];
  if (options.lower.length === 0) changes = diffAlone(options);
  else {
    using above = View.open(options);
    using below = View.open({ ...options, upper: null, userxattr: above.ov.options.userxattr });
    const differ = new Differ(above, below, options);
    differ.run();
    changes = joinRenames(differ.changes, differ.gone);
  }
  const summary = summarise(changes);
  const kept = changes.filter(({ kind }) => kind !== 'unchanged' || options.unchanged);
  return { changes: kept.sort((a, b) => byBytes(a.path, b.path)).map(printable), summary };
}
