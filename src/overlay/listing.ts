/**
 * The merged listing of a directory: it gives READDIR its order and, in a merge dir, answers lookups for any number of layers
 * without a system call per layer. Built by merge.ts, updated by our own changes.
 */
import { type Dirent, DT_DIR, TWO_32 } from '../sys/index.js';
import type { InoPair } from './ino.js';
import type { RealDir } from './inode.js';
import { Readers } from './readers.js';

/**
 * What is known about a name, as one small integer; 0: nothing, the name is free. Bits 0-9: source number of the topmost object;
 * 10-13: its DT_* type; then the flags below.
 */
export type NameInfo = number;

const SOURCE_MASK = 0x3ff;
const TYPE_SHIFT = 10;
const TYPE_MASK = 0xf;
/** Set in every info, so that none is 0. */
const KNOWN = 1 << 14;
/** Something of this name is visible below upper, or would be without upper: removing the name leaves a whiteout. */
const LOWER = 1 << 15;
/** Hidden from callers. */
const HIDDEN = 1 << 16;
/** Upper has a whiteout at the name. */
const WHITEOUT = 1 << 17;
/** The first layer below upper that has the name was read, so {@link LOWER} is decided. Only while building. */
const LOWER_DECIDED = 1 << 18;
/** Nothing further down is merged with this name's directory. Only while building. */
const CLOSED = 1 << 19;

/**
 * What a listing stores for a name, as one double: the info in the lowest 20 bits, above them the inode number of the topmost object
 * as its directory reports it; 0 when it is unknown or has more than 33 bits.
 */
type Packed = number;

const INFO_MASK = (1 << 20) - 1;
const INO_AT = 2 ** 20;
const INO_MAX = 2 ** 33 - 1;

function pack(info: NameInfo, found: InoPair): Packed {
  const ino = (found.inoLo >>> 0) + (found.inoHi >>> 0) * TWO_32;
  return ino > INO_MAX ? info : info + ino * INO_AT;
}

/** Source number, an index into {@link Listing.sources}, of the topmost object. */
export function sourceOf(info: NameInfo): number {
  return info & SOURCE_MASK;
}
/** Whether callers see the name. */
export function isVisible(info: NameInfo): boolean {
  return (info & (KNOWN | HIDDEN)) === KNOWN;
}
/** Whether something would show through if upper had nothing at the name. */
export function isOnLower(info: NameInfo): boolean {
  return (info & LOWER) !== 0;
}
/** Whether upper has a whiteout at the name. */
export function isWhitedOut(info: NameInfo): boolean {
  return (info & WHITEOUT) !== 0;
}

/** DT_* of the topmost object. */
export function typeOf(info: NameInfo): number {
  return (info >> TYPE_SHIFT) & TYPE_MASK;
}

/** The info of a name whose topmost object has this type and source. */
function makeInfo(source: number, type: number): NameInfo {
  return KNOWN | (source & SOURCE_MASK) | ((type & TYPE_MASK) << TYPE_SHIFT);
}

/** How many gaps are not worth closing. */
const FEW_GAPS = 64;

/**
 * The names of a directory. A reader resumes, after any changes, at the cookie of a name. A removed name leaves a gap; gaps are
 * closed when there are many. A new name is appended and gets a new cookie. Positions are valid within one request only.
 */
export class Listing {
  /** The real directories merged here, top first; [0] is upper's place, null while there is none. */
  readonly sources: (RealDir | null)[];
  /** By position; null is a gap. */
  names: (string | null)[] = [];
  #packed: Packed[] = [];
  #gaps = 0;
  /** By position, ascending; null while each name's position is its cookie. */
  #cookies: number[] | null = null;
  /** The cookie of the next new name. */
  #nextCookie = 0;
  readonly readers = new Readers();
  /** How many positions are accounted for: see listings.ts. */
  counted = 0;
  /** Names of it were returned without attributes: see walkers.ts. */
  wasGivenBare = false;
  /** Positions by name; built when first needed, since a plain walk never looks a name up here. */
  #positions: Map<string, number> | null = null;
  /** For a directory on several layers: the sources below the topmost that have a directory there, top first. */
  #below: Map<string, number[]> | null = null;
  /** How many names callers see. */
  count = 0;

  constructor(sources: (RealDir | null)[]) {
    this.sources = sources;
  }

  /** Positions by name. */
  #byName(): Map<string, number> {
    if (this.#positions === null) {
      this.#positions = new Map();
      for (let i = 0; i < this.names.length; i++) this.#positions.set(this.names[i]!, i);
    }
    return this.#positions;
  }

  info(name: string): NameInfo {
    const at = this.#byName().get(name);
    return at === undefined ? 0 : this.infoAt(at);
  }

  /** The info of the name at `position`. */
  infoAt(position: number): NameInfo {
    return this.#packed[position]! & INFO_MASK;
  }

  /** Stores the real inode number of the topmost object at `position` in `out`. Returns false when it is unknown. */
  realInoAt(position: number, out: InoPair): boolean {
    const ino = Math.floor(this.#packed[position]! / INO_AT);
    out.inoLo = ino | 0;
    out.inoHi = Math.floor(ino / TWO_32);
    return ino !== 0;
  }

  /** The cookie with which a reader continues at `position`. */
  cookieAt(position: number): number {
    return this.#cookies === null ? position : this.#cookies[position]!;
  }

  /** Position of the first name with this cookie or a later one. */
  positionOf(cookie: number): number {
    if (this.#cookies === null) return cookie;
    let low = 0;
    let high = this.#cookies.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (this.#cookies[middle]! < cookie) low = middle + 1;
      else high = middle;
    }
    return low;
  }

  /** Registers a reader. Returns its number, which every offset at which it resumes carries. */
  beginReading(): number {
    return this.readers.begin(this.#nextCookie);
  }

  /**
   * Position at which a reader ends. It does not see names added while it reads, or a caller that renames what it reads would never
   * finish.
   */
  endFor(reader: number): number {
    return Math.min(this.positionOf(this.readers.endOf(reader, this.#nextCookie)), this.names.length);
  }

  /** Whether callers see the name at `position`. */
  isVisibleAt(position: number): boolean {
    return isVisible(this.infoAt(position));
  }

  /** Sources below the topmost whose directory of this name may be merged into it, top first. */
  below(name: string): readonly number[] {
    return this.#below?.get(name) ?? NONE;
  }

  /** Another object, of unknown inode number, is now at the name. */
  #put(name: string, info: NameInfo): void {
    const byName = this.#byName();
    const at = byName.get(name);
    if (at === undefined) {
      byName.set(name, this.names.length);
      this.#append(name, info);
      return;
    }
    this.count += Number(isVisible(info)) - Number(isVisible(this.infoAt(at)));
    this.#packed[at] = info;
  }

  /** Updates the info of a position; the object stays the same. */
  #setInfo(at: number, info: NameInfo): void {
    this.#packed[at]! += info - this.infoAt(at);
  }

  /** Adds a name that is known to be new. */
  #append(name: string, packed: Packed): void {
    this.names.push(name);
    this.#packed.push(packed);
    this.#cookies?.push(this.#nextCookie);
    this.#nextCookie++;
    if (isVisible(packed & INFO_MASK)) this.count++;
  }

  /** Building: the only object of a name in a directory with one source. */
  appendOnly(found: Dirent, source: number): void {
    const info = makeInfo(source, found.type) | (source > 0 ? LOWER : 0);
    this.#append(found.name, pack(info, found));
  }

  /** Upper now has an object of its own at the name: created, linked or moved here. */
  setUpper(name: string, type: number): void {
    this.#below?.delete(name);
    this.#put(name, makeInfo(0, type) | (this.info(name) & LOWER));
  }

  /** A directory was copied up: what was there before is merged below it now. */
  copiedUp(name: string): void {
    const source = sourceOf(this.info(name));
    const below = this.below(name);
    this.setUpper(name, DT_DIR);
    if (source === 0) return;
    this.#below ??= new Map();
    this.#below.set(name, [source, ...below]);
  }

  /** The name is gone; `whiteout`: upper has a whiteout in its place. */
  remove(name: string, whiteout: boolean): void {
    const info = this.info(name);
    this.#below?.delete(name);
    if (whiteout || isOnLower(info)) {
      this.#put(name, KNOWN | HIDDEN | (info & LOWER) | (whiteout ? WHITEOUT : 0));
      return;
    }
    const byName = this.#byName();
    const at = byName.get(name);
    if (at === undefined) return;
    if (isVisible(info)) this.count--;
    byName.delete(name);
    this.names[at] = null;
    this.#packed[at] = 0;
    this.#gaps++;
    if (this.#gaps > FEW_GAPS && this.#gaps > this.names.length / 2) this.#closeGaps();
  }

  #closeGaps(): void {
    const kept: number[] = [];
    for (let at = 0; at < this.names.length; at++) if (this.names[at] !== null) kept.push(at);
    this.#cookies = kept.map((at) => this.cookieAt(at));
    this.names = kept.map((at) => this.names[at]!);
    this.#packed = kept.map((at) => this.#packed[at]!);
    this.#positions = null;
    this.#gaps = 0;
  }

  /** Building, top first: an object of `type` on `source`. */
  mergeObject(found: Dirent, source: number, type: number): void {
    const { name } = found;
    const byName = this.#byName();
    const at = byName.get(name);
    if (at === undefined) {
      const lower = source > 0 ? LOWER | LOWER_DECIDED : 0;
      byName.set(name, this.names.length);
      this.#append(name, pack(makeInfo(source, type) | lower | (type === DT_DIR ? 0 : CLOSED), found));
      return;
    }
    let info = this.infoAt(at);
    if (source > 0 && (info & LOWER_DECIDED) === 0) info |= LOWER | LOWER_DECIDED;
    if (isVisible(info) && (info & CLOSED) === 0) {
      if (typeOf(info) === DT_DIR && type === DT_DIR) this.#addBelow(name, source);
      else info |= CLOSED;
    }
    this.#setInfo(at, info);
  }

  /** Building, top first: a whiteout on `source`, at the name or beside it. */
  mergeWhiteout(name: string, source: number): void {
    const before = this.info(name);
    if (before === 0) {
      const onUpper = source === 0 ? WHITEOUT : LOWER_DECIDED;
      this.#put(name, KNOWN | HIDDEN | CLOSED | onUpper);
      return;
    }
    this.#setInfo(this.#byName().get(name)!, before | CLOSED | LOWER_DECIDED);
  }

  #addBelow(name: string, source: number): void {
    this.#below ??= new Map();
    const list = this.#below.get(name);
    if (list === undefined) this.#below.set(name, [source]);
    else list.push(source);
  }

  /**
   * Ends building: the names of the lowest source come first, in its order, as in the kernel's ovl_dir_read_merged();
   * names that are hidden for good are dropped.
   */
  finish(lowest: readonly string[]): void {
    const names = this.names as string[];
    const all = this.#packed;
    const byName = this.#byName();
    const order: number[] = [];
    const taken = new Uint8Array(names.length);
    for (const name of lowest) {
      const at = byName.get(name);
      if (at === undefined || taken[at] === 1) continue;
      taken[at] = 1;
      order.push(at);
    }
    for (let at = 0; at < names.length; at++) if (taken[at] === 0) order.push(at);
    this.names = [];
    this.#packed = [];
    this.#positions = null;
    this.#nextCookie = 0;
    this.count = 0;
    for (const at of order) {
      const packed = all[at]! - (all[at]! & (LOWER_DECIDED | CLOSED));
      const info = packed & INFO_MASK;
      if (isVisible(info) || isWhitedOut(info)) this.#append(names[at]!, packed);
    }
  }
}

const NONE: readonly number[] = [];
