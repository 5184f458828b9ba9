/** `plyfs inspect`: why a path looks as it does, layer by layer. */
import type { Layer } from '../overlay/config.js';
import { readMarks } from '../overlay/marks.js';
import { decodeOrigin } from '../overlay/origin.js';
import { WH_OPAQUE, WH_PREFIX } from '../overlay/whiteout.js';
import * as sys from '../sys/index.js';
import { type ObjectType, shown, typeName } from './text.js';
import { isWhiteoutAt, openAgain, openSub, rawXattrs } from './tree.js';
import { type Stack, View } from './view.js';

/**
 * What a layer contributes: `shown` what callers see; `merged` a directory below it whose names are seen too; `data`
 * the data of a metacopy above; `hidden` nothing, because of a layer above; `whiteout` it hides what is below.
 */
export type LayerState = 'shown' | 'merged' | 'data' | 'hidden' | 'whiteout' | 'absent';

/** What one layer has at the path. */
export interface LayerFinding {
  /** 0 is the topmost. */
  readonly layer: number;
  readonly kind: Layer['kind'];
  readonly directory: string;
  /** Where the layer was searched; differs from the given path below a redirect. */
  readonly path: string;
  readonly state: LayerState;
  /** Why, as a sentence without a full stop; empty where nothing needs saying. */
  readonly why: string;
  readonly type?: ObjectType;
  /** Permission bits, as chmod(1) takes them. */
  readonly mode?: string;
  readonly owner?: string;
  readonly size?: number;
  readonly mtime?: string;
  readonly ino?: string;
  readonly nlink?: number;
  /** The overlay's own xattrs on the object, decoded. */
  readonly marks?: Readonly<Record<string, string>>;
}

/** What callers see at a path, and what each layer has there, topmost first. */
export interface InspectResult {
  readonly path: string;
  /** Whether callers see anything. */
  readonly exists: boolean;
  readonly type: ObjectType | null;
  /** Layer whose object callers see; null when there is none. */
  readonly winner: number | null;
  /** Inode number that callers see. */
  readonly ino: string | null;
  readonly layers: readonly LayerFinding[];
}

/** 64-bit inode number as text. */
function inoText(lo: number, hi: number): string {
  return String((BigInt(hi >>> 0) << 32n) | BigInt(lo >>> 0));
}

/** What ended the search. */
interface Closed {
  readonly why: string;
  /** The layer of the opaque directory that did; null for anything else. */
  readonly opaqueOn: number | null;
}

/** The search as it goes down. */
interface Search {
  /** Path on the next layer. */
  want: readonly string[];
  /** Why lower layers contribute nothing; null while they may. */
  closed: Closed | null;
  /** The topmost object. */
  winner: { readonly layer: number; readonly isDir: boolean } | null;
  /** The topmost object is a metacopy whose data has not been met. */
  needsData: boolean;
}

/** One step of a walk down a layer. */
interface Step {
  readonly dirfd: number;
  readonly name: string;
  readonly path: string;
}

type Found = Pick<LayerFinding, 'state' | 'why'> & Partial<LayerFinding>;

class Inspector {
  readonly #view: View;
  readonly #search: Search;
  readonly #stat = new sys.Stat();

  constructor(view: View, components: readonly string[]) {
    this.#view = view;
    this.#search = { want: components, closed: null, winner: null, needsData: false };
  }

  get winner(): number | null {
    return this.#search.winner?.layer ?? null;
  }

  layer(layer: Layer): LayerFinding {
    const { want } = this.#search;
    const searched = `/${want.join('/')}`;
    const found = this.#isOutOfPlay(layer) ?? this.#walk(layer);
    return {
      layer: layer.index,
      kind: layer.kind,
      directory: shown(layer.path),
      path: shown(searched),
      ...found,
    };
  }

  #isOutOfPlay(layer: Layer): Found | null {
    if (layer.kind !== 'data' || this.#search.needsData) return null;
    return { state: 'absent', why: 'a data-only layer gives data to metacopies alone' };
  }

  #walk(layer: Layer): Found {
    const { want } = this.#search;
    const mapped: string[] = [];
    let dirfd = openAgain(layer.root, layer.path);
    try {
      if (want.length === 0) return this.#object(layer, { dirfd, name: '', path: '/' }, mapped);
      for (let i = 0; ; i++) {
        const step = { dirfd, name: want[i]!, path: `/${want.slice(0, i + 1).join('/')}` };
        const end = this.#component(layer, step, i === want.length - 1, mapped);
        if (end !== null) return end;
        const next = openSub(dirfd, step.name);
        if (next < 0)
          return { state: 'absent', why: `${shown(step.path)} can't be opened: ${sys.errnoName(next)}` };
        sys.close(dirfd);
        dirfd = next;
      }
    } finally {
      sys.close(dirfd);
    }
  }

  /** Examines one name. Returns null for a directory on the way, after which the walk continues. */
  #component(layer: Layer, step: Step, isLast: boolean, mapped: string[]): Found | null {
    const path = shown(step.path);
    const rc = sys.statx(step.dirfd, step.name, this.#stat);
    if (rc < 0) {
      if (sys.statx(step.dirfd, WH_PREFIX + step.name, this.#stat) >= 0)
        return this.#whiteout(layer, path, isLast);
      return { state: 'absent', why: isLast ? '' : `there is no ${path} here` };
    }
    if (isWhiteoutAt(step.dirfd, step.name, this.#stat, this.#view.ov.own))
      return this.#whiteout(layer, path, isLast);
    if (isLast) return this.#object(layer, step, mapped);
    const type = this.#stat.mode & sys.S_IFMT;
    if (type !== sys.S_IFDIR) {
      this.#close(`${path} on layer ${layer.index} is a ${typeName(type)}`);
      return { state: 'absent', why: `${path} is a ${typeName(type)} here` };
    }
    this.#directoryMarks(layer, step, mapped);
    return null;
  }

  #whiteout(layer: Layer, path: string, isLast: boolean): Found {
    const before = this.#search.closed?.why;
    this.#close(`layer ${layer.index} has a whiteout at ${path}`);
    if (!isLast) return { state: 'absent', why: before ?? `${path} is a whiteout here` };
    return { state: 'whiteout', why: before ?? '' };
  }

  #close(why: string, opaqueOn: number | null = null): void {
    this.#search.closed ??= { why, opaqueOn };
  }

  /** What a directory's marks mean for the layers below. */
  #directoryMarks(layer: Layer, step: Step, mapped: string[]): void {
    const marks = readMarks(this.#view.ov, step.dirfd, step.name);
    const inside = step.name === '' ? WH_OPAQUE : `${step.name}/${WH_OPAQUE}`;
    const isOpaque = marks.opaque || sys.statx(step.dirfd, inside, new sys.Stat()) >= 0;
    const { redirect } = marks;
    if (redirect === null) {
      if (step.name !== '') mapped.push(step.name);
      if (isOpaque) this.#close(`${shown(step.path)} on layer ${layer.index} is opaque`, layer.index);
    } else if (redirect.startsWith('/')) {
      mapped.splice(0, mapped.length, ...redirect.split('/').filter((part) => part !== ''));
      // An absolute redirect goes on below an opaque ancestor on its own layer.
      if (this.#search.closed?.opaqueOn === layer.index) this.#search.closed = null;
    } else mapped.push(redirect);
    this.#search.want = [...mapped, ...this.#search.want.slice(this.#depth(step))];
  }

  /** How many components of the searched path a step has consumed. */
  #depth(step: Step): number {
    return step.path.split('/').filter((part) => part !== '').length;
  }

  /** The object at the path itself. Its attributes are in `#stat` unless it is the root. */
  #object(layer: Layer, step: Step, mapped: string[]): Found {
    const { dirfd, name } = step;
    if (name === '') sys.fstatx(dirfd, this.#stat);
    const { closed, winner, needsData } = this.#search;
    const facts = this.#facts(dirfd, name);
    const isDir = (this.#stat.mode & sys.S_IFMT) === sys.S_IFDIR;
    const state = this.#stateOf(layer, isDir, closed, winner);
    if (closed !== null && state === 'hidden') return { state, why: closed.why, ...facts };
    if (isDir) this.#directoryMarks(layer, step, mapped);
    else this.#fileMarks(layer, step, needsData);
    if (winner === null && state === 'shown') this.#search.winner = { layer: layer.index, isDir };
    if (state !== 'hidden') return { state, why: '', ...facts };
    const top = winner!.isDir ? 'directory' : 'object';
    this.#close(`the ${top} on layer ${winner!.layer} is on top`);
    return { state, why: `the ${top} on layer ${winner!.layer} is on top`, ...facts };
  }

  #stateOf(layer: Layer, isDir: boolean, closed: Closed | null, winner: Search['winner']): LayerState {
    if (!isDir && this.#search.needsData) return 'data';
    if (closed !== null) return 'hidden';
    if (winner === null) return layer.kind === 'data' ? 'absent' : 'shown';
    return winner.isDir && isDir ? 'merged' : 'hidden';
  }

  #fileMarks(layer: Layer, step: Step, wasNeeded: boolean): void {
    const marks = readMarks(this.#view.ov, step.dirfd, step.name);
    this.#close(`the ${typeName(this.#stat.mode)} on layer ${layer.index} is on top`);
    if (!wasNeeded && this.#search.winner !== null) return;
    this.#search.needsData = marks.metacopy;
    if (!marks.metacopy || marks.redirect === null) return;
    const parts = marks.redirect.split('/').filter((part) => part !== '');
    this.#search.want = marks.redirect.startsWith('/')
      ? parts
      : [...this.#search.want.slice(0, -1), ...parts];
  }

  #facts(dirfd: number, name: string): Partial<LayerFinding> {
    const stat = this.#stat;
    const marks: Record<string, string> = {};
    const { prefix } = this.#view.ov.own;
    for (const [attribute, value] of rawXattrs(dirfd, name)) {
      if (attribute.startsWith(prefix)) marks[attribute.slice(prefix.length)] = markText(attribute, value);
      else if (attribute.startsWith('user.fuseoverlayfs.')) marks[attribute] = shown(value.latin1Slice());
    }
    return {
      type: typeName(stat.mode),
      mode: (stat.mode & 0o7777).toString(8).padStart(4, '0'),
      owner: `${stat.uid}:${stat.gid}`,
      size: stat.size,
      mtime: timeText(stat),
      ino: inoText(stat.inoLo, stat.inoHi),
      nlink: stat.nlink,
      marks,
    };
  }
}

/** The latest time that a Date can represent, in seconds. */
const LAST_DATE = 8.64e12;

/** A time as text; a file may have any. */
function timeText({ mtime, mtimeNsec }: sys.Stat): string {
  if (Math.abs(mtime) >= LAST_DATE) return `${mtime} s`;
  return new Date(mtime * 1000 + mtimeNsec / 1e6).toISOString();
}

/** The value of one of the overlay's xattrs for people. */
function markText(attribute: string, value: Buffer): string {
  if (/\.(origin|upper)$/.test(attribute)) {
    if (value.length === 0) return 'unknown';
    const origin = decodeOrigin(value);
    if (origin === null) return `malformed ${value.toString('hex')}`;
    return `handle type ${origin.handle.type} ${origin.handle.bytes.toString('hex')} uuid ${origin.uuid.toString('hex')}`;
  }
  if (/\.(uuid|metacopy)$/.test(attribute)) return value.toString('hex');
  return shown(value.latin1Slice());
}

/** A stack and a path in it. */
export interface InspectOptions extends Stack {
  /** Path from the root of the merged view; a Buffer is taken as bytes. */
  readonly path: string | Buffer;
}

/** Components of a path, without `.`; `..` is resolved textually, since nothing is followed. */
function componentsOf(path: string | Buffer): string[] {
  const bytes = typeof path === 'string' ? Buffer.from(path).latin1Slice() : path.latin1Slice();
  const components: string[] = [];
  for (const part of bytes.split('/')) {
    if (part === '..') components.pop();
    else if (part !== '' && part !== '.') components.push(part);
  }
  return components;
}

/** Explains one path of a stack. Throws a UserError. */
export function inspect(options: InspectOptions): InspectResult {
  const components = componentsOf(options.path);
  using view = View.open(options);
  const inspector = new Inspector(view, components);
  const layers = view.layers.map((layer) => inspector.layer(layer));
  const path = components.join('/');
  const inode = view.resolve(path);
  const stat = inode === null ? null : view.statOf(inode, path);
  return {
    path: shown(`/${path}`),
    exists: inode !== null,
    type: stat === null ? null : typeName(stat.mode),
    winner: inode === null ? null : inspector.winner,
    ino: inode === null ? null : inoText(inode.inoLo, inode.inoHi),
    layers,
  };
}
