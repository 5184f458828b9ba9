/**
 * Owners that differ from those of the real objects: kept in xattrs (override-stat.ts), mapped (`uidmapping`, `gidmapping`), or all
 * shown as one (`squash_to_*`). The options and semantics are those of fuse-overlayfs. An overlay without any of this has no
 * {@link Owners} at all.
 *
 * There are three kinds of ids: those on the layers' objects, those in a layer's xattrs (the same id space), and those that callers
 * see and use. A map `a:b:n` shows the layers' ids a, a+1, … as b, b+1, …; ids outside all maps are shown as the overflow id.
 *
 * ACLs contain ids, too. Those are neither mapped nor squashed (fuse-overlayfs does not either), and with owners in xattrs the
 * kernel checks an ACL against the owners shown.
 */
import { readFileSync } from 'node:fs';
import * as sys from '../sys/index.js';
import { must } from '../vfs/errors.js';
import type { Attr, Caller } from '../vfs/types.js';
import type { Layer, OpenedLayers, OverlayOptions } from './config.js';
import type { Inode, RealDir } from './inode.js';
import { layerOf, locate, type RealObject, statAt } from './locate.js';
import { OVERRIDE_CONTAINERS, parseOverride } from './override-stat.js';
import { chmod } from './real-attr.js';
import type { Overlay } from './state.js';

/** Owner and permission bits, type included. */
export interface Ownership {
  uid: number;
  gid: number;
  mode: number;
}

interface Range {
  readonly layer: number;
  readonly shown: number;
  readonly count: number;
}

function parseMap(text: string | null): Range[] | null {
  if (text === null) return null;
  const numbers = text.split(':').map(Number);
  const ranges: Range[] = [];
  for (let i = 0; i + 2 < numbers.length; i += 3) {
    // Later ranges take precedence.
    ranges.unshift({ layer: numbers[i]!, shown: numbers[i + 1]!, count: numbers[i + 2]! });
  }
  return ranges;
}

function overflowId(kind: 'uid' | 'gid'): number {
  return Number(readFileSync(`/proc/sys/kernel/overflow${kind}`, 'latin1'));
}

/** One of uid and gid. */
class Ids {
  readonly #ranges: readonly Range[] | null;
  readonly #squash: number | null;
  readonly #overflow: number;

  constructor(map: string | null, squash: number | null, kind: 'uid' | 'gid') {
    this.#ranges = parseMap(map);
    this.#squash = squash;
    this.#overflow = this.#ranges === null ? 0 : overflowId(kind);
  }

  get squashes(): boolean {
    return this.#squash !== null;
  }

  show(id: number): number {
    if (this.#squash !== null) return this.#squash;
    if (this.#ranges === null) return id;
    for (const { layer, shown, count } of this.#ranges) {
      if (id >= layer && id < layer + count) return shown + (id - layer);
    }
    return this.#overflow;
  }

  store(id: number): number {
    if (this.#ranges === null) return id;
    for (const { layer, shown, count } of this.#ranges) {
      if (id >= shown && id < shown + count) return layer + (id - shown);
    }
    return this.#overflow;
  }
}

/** Minimum mode of a real object whose permission bits are in its xattr: we must be able to use it. */
const REAL_MODE = 0o755;

/** Whether an object of this mode can have an owner in an xattr. */
export function holdsOverride(mode: number): boolean {
  const type = mode & sys.S_IFMT;
  return type === sys.S_IFREG || type === sys.S_IFDIR;
}

/** The owners of an overlay; null when all owners are those of the objects. */
export function ownersOf(opened: OpenedLayers): Owners | null {
  const { options, layers } = opened;
  const maps = options.uidmapping !== null || options.gidmapping !== null;
  const squash = options.squashToUid !== null || options.squashToGid !== null;
  const overrides = layers.some((layer) => layer.override !== null);
  return maps || squash || overrides ? new Owners(options, layers) : null;
}

/** Translates owners and modes between the layers' objects and callers. */
export class Owners {
  readonly #uids: Ids;
  readonly #gids: Ids;
  /** Name of the xattr in which owners are written on upper; null: they are the objects' own. */
  readonly written: string | null;
  /** An xattr may say that a file stands for a device. */
  readonly keepsTypes: boolean;

  constructor(options: OverlayOptions, layers: readonly Layer[]) {
    this.#uids = new Ids(options.uidmapping, options.squashToUid, 'uid');
    this.#gids = new Ids(options.gidmapping, options.squashToGid, 'gid');
    const top = layers[0]!;
    this.written = top.kind === 'upper' ? top.override : null;
    this.keepsTypes = layers.some((layer) => layer.override !== null);
  }

  /** All callers see the same owner, so they can't see whether a change of owner fails. */
  get squashes(): boolean {
    return this.#uids.squashes || this.#gids.squashes;
  }

  storedUid(uid: number): number {
    return this.#uids.store(uid);
  }

  storedGid(gid: number): number {
    return this.#gids.store(gid);
  }

  shownGid(gid: number): number {
    return this.#gids.show(gid);
  }

  /** Replaces the real owner and mode in `out` by those in the object's xattr. Returns the xattr's content, or null. */
  applyOverride(ov: Overlay, layer: Layer, at: RealObject, out: Ownership): ReturnType<typeof parseOverride> {
    if (layer.override === null || !holdsOverride(out.mode)) return null;
    const length = sys.getxattr(at.fd, at.name, layer.override, ov.scratch, 64);
    // An invalid value counts as none.
    const override = length < 0 ? null : parseOverride(ov.scratch.latin1Slice(0, length));
    if (override === null) return null;
    out.uid = override.uid;
    out.gid = override.gid;
    out.mode = (out.mode & sys.S_IFMT) | override.mode;
    return override;
  }

  /** Turns the attributes of an inode's real object into those that callers see. */
  show(ov: Overlay, inode: Inode, out: Attr): void {
    const layer = layerOf(ov, inode);
    if (layer.override !== null && holdsOverride(out.mode)) {
      locate(ov, inode);
      const device = this.applyOverride(ov, layer, { fd: ov.atFd, name: ov.atName }, out)?.device ?? null;
      if (device !== null && inode.type === sys.S_IFREG) {
        out.mode = (out.mode & 0o7777) | device.type;
        out.rdevMajor = device.major;
        out.rdevMinor = device.minor;
      }
    }
    out.uid = this.#uids.show(out.uid);
    out.gid = this.#gids.show(out.gid);
  }

  /** Writes owner and mode of an upper object to its xattr, and gives it a real mode with which we can use it. */
  record(at: RealObject, owner: Ownership): void {
    const text = Buffer.from(`${owner.uid}:${owner.gid}:${(owner.mode & 0o7777).toString(8)}`, 'latin1');
    must(sys.setxattr(at.fd, at.name, this.written!, text, text.length), 'set owner');
    const real = (owner.mode & 0o777) | REAL_MODE;
    must(chmod(at.fd, at.name, real), 'chmod');
  }

  /**
   * Records owner and mode of an object that `caller` has just created with `mode` in the upper directory `parent`, if they are
   * kept in an xattr. Throws FsError.
   */
  recordNew(ov: Overlay, at: RealObject, parent: RealDir, caller: Caller, mode: number): void {
    if (this.written === null || !holdsOverride(mode)) return;
    const dirfd = ov.dirs.fd(parent);
    must(sys.fstatx(dirfd, ov.probe), 'statx');
    const above: Ownership = { uid: 0, gid: ov.probe.gid, mode: ov.probe.mode };
    this.applyOverride(ov, parent.layer, { fd: dirfd, name: '' }, above);
    const inherits = (above.mode & sys.S_ISGID) !== 0;
    const isDir = (mode & sys.S_IFMT) === sys.S_IFDIR;
    this.record(at, {
      uid: this.storedUid(caller.uid),
      gid: inherits ? above.gid : this.storedGid(caller.gid),
      mode: (mode & ~caller.umask) | (inherits && isDir ? sys.S_ISGID : 0),
    });
  }

  /**
   * Changes owner or mode of an upper object in its xattr. Returns false when this object has its own, to be changed by the usual
   * system calls.
   */
  change(ov: Overlay, at: RealObject, edit: (owner: Ownership) => void): boolean {
    if (this.written === null) return false;
    must(statAt(at.fd, at.name, ov.probe), 'statx');
    const { uid, gid, mode } = ov.probe;
    if (!holdsOverride(mode)) return false;
    const owner: Ownership = { uid, gid, mode };
    const before = this.applyOverride(ov, ov.upperLayer!, at, owner);
    edit(owner);
    const same =
      before?.uid === owner.uid && before.gid === owner.gid && before.mode === (owner.mode & 0o7777);
    if (!same) this.record(at, owner);
    return true;
  }
}

const SECURITY = 'security.';
const ENCODED = 'user.containers.override_';
/**
 * Marks of other programs that are read in layers. Callers can never set them, whatever format the layers use: on an upper's root
 * they would decide to whom the next mount attributes its files.
 */
function isForeign(name: string): boolean {
  return (
    name.startsWith(ENCODED) ||
    name.startsWith('user.fuseoverlayfs.') ||
    name.startsWith('security.fuseoverlayfs.')
  );
}

/** The name under which `layer` (null: no layer that keeps owners) stores a caller's xattr; null: callers may not use it. */
export function encodedXattr(layer: Layer | null, name: string): string | null {
  if (layer?.override === OVERRIDE_CONTAINERS && name.startsWith(SECURITY)) return ENCODED + name;
  return isForeign(name) ? null : name;
}

/** The name that callers see for a stored one; null: hidden. */
export function decodedXattr(layer: Layer | null, stored: string): string | null {
  if (layer?.override === OVERRIDE_CONTAINERS) {
    if (stored.startsWith(ENCODED + SECURITY)) return stored.slice(ENCODED.length);
    if (stored.startsWith(SECURITY)) return null;
  }
  return isForeign(stored) ? null : stored;
}
