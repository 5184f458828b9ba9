/**
 * `user.plyfs.*`: where an object comes from, in the terms of `plyfs inspect`. These xattrs can be read by name but are never
 * listed, so that programs that copy all xattrs do not copy them; nothing can be stored under their names.
 *
 * Anyone who may read an object may learn the numbers of its layers. Host paths are revealed only where they are useful: to root
 * and the mount's owner, in this process's mount namespace and root directory.
 */
import { readlinkSync } from 'node:fs';
import * as sys from '../sys/index.js';
import { fail } from '../vfs/errors.js';
import type { Caller, Name } from '../vfs/types.js';
import type { Inode, RealDir } from './inode.js';
import { layerOf, locate } from './locate.js';
import { readMarks } from './marks.js';
import type { Overlay } from './state.js';

const PREFIX = 'user.plyfs.';

/** Whether an xattr of this name is never stored. */
export function isVirtual(name: Name): boolean {
  return name.startsWith(PREFIX);
}

type Value = (ov: Overlay, inode: Inode) => string | null;

/** Values by name; a value of null: this object has no such attribute. */
const VALUES: ReadonlyMap<string, Value> = new Map([
  ['layer', (ov, inode) => String(layerOf(ov, inode).index)],
  ['kind', (ov, inode) => layerOf(ov, inode).kind],
  ['layers', (ov, inode) => layersOf(ov, inode).join(',')],
  ['marks', marksOf],
]);

/** The same for attributes that reveal paths of the host. */
const PATHS: ReadonlyMap<string, Value> = new Map([
  ['directory', (ov, inode) => layerOf(ov, inode).path],
  ['path', pathOf],
]);

/** Numbers of the layers that take part, top first: those of a merge dir, or of a metacopy and its data. */
function layersOf(ov: Overlay, inode: Inode): number[] {
  if (inode.dir !== null) return inode.dir.real.map(({ layer }) => layer.index);
  const top = layerOf(ov, inode).index;
  return inode.data === null ? [top] : [top, inode.data.dir.layer.index];
}

function marksOf(ov: Overlay, inode: Inode): string | null {
  locate(ov, inode);
  const marks = readMarks(ov, ov.atFd, ov.atName);
  const words = (['opaque', 'redirect', 'metacopy', 'origin'] as const).filter(
    (mark) => marks[mark] !== false && marks[mark] !== null,
  );
  return words.length === 0 ? null : words.join(',');
}

/** Path of the object on its layer; null when it has no name left. */
function pathOf(_ov: Overlay, inode: Inode): string | null {
  if (inode.orphan >= 0 || inode.dir?.dead === true) return null;
  if (inode.dir !== null) return realPath(inode.dir.real[0]!);
  if (!inode.hasUpper) return `${realPath(inode.lowerDir!)}/${inode.lowerName}`;
  return inode.parent === null ? null : `${realPath(inode.parent.dir!.upper!)}/${inode.name}`;
}

/** By a loop: the way up may be longer than the stack has room for. */
function realPath(real: RealDir): string {
  let path = '';
  for (let at = real; at.parent !== null; at = at.parent) path = `/${at.name}${path}`;
  return real.layer.path + path;
}

/** Whether a caller may learn paths of this process, and they mean the same to it. */
function mayKnowPaths(caller: Caller): boolean {
  if (caller.pid === 0 || (caller.uid !== 0 && caller.uid !== process.geteuid!())) return false;
  try {
    const own = readlinkSync('/proc/thread-self/ns/mnt');
    // Only links are read: a stat of the root could be a request to this very mount.
    return (
      readlinkSync(`/proc/${caller.pid}/ns/mnt`) === own && readlinkSync(`/proc/${caller.pid}/root`) === '/'
    );
  } catch (error) {
    // We may not look at the process, or there is no /proc.
    if (sys.isSystemError(error)) return false;
    throw error;
  }
}

/** Value of a {@link isVirtual} attribute into `into`. Returns its length, -ENODATA, -EACCES or -ERANGE. */
export function virtualXattr(
  ov: Overlay,
  inode: Inode,
  ask: { readonly name: Name; readonly caller: Caller },
  into: Uint8Array,
  size: number,
): number {
  if (!ov.options.xattrs) return -sys.EOPNOTSUPP;
  const name = ask.name.slice(PREFIX.length);
  const ofPath = PATHS.get(name);
  if (ofPath !== undefined && !mayKnowPaths(ask.caller)) return -sys.EACCES;
  const value = (ofPath ?? VALUES.get(name))?.(ov, inode) ?? null;
  if (value === null) return -sys.ENODATA;
  if (size === 0) return value.length;
  if (value.length > size) return -sys.ERANGE;
  Buffer.from(into.buffer, into.byteOffset, into.byteLength).latin1Write(value, 0, value.length);
  return value.length;
}

/** The first step of every change to an xattr: EOPNOTSUPP for a virtual one. */
export function refuseVirtual(name: Name): void {
  if (isVirtual(name)) fail(sys.EOPNOTSUPP, 'virtual xattr');
}
