/** The names (aliases) of an inode, and freeing it when neither the kernel nor a child refers to it any more. */
import * as sys from '../sys/index.js';
import { unclaim } from './claims.js';
import type { Alias, Inode } from './inode.js';
import { leaveIndex } from './link-index.js';
import { abandon } from './new-file.js';
import type { Overlay } from './state.js';

/** Records a further name of an inode. */
export function addName(inode: Inode, parent: Inode, name: string): void {
  parent.dir!.children.set(name, inode);
  if (inode.parent === null) {
    inode.parent = parent;
    inode.name = name;
    return;
  }
  inode.aliases ??= [];
  inode.aliases.push({ parent, name });
}

/** Makes a known name of an inode the first one. */
export function makeFirst(inode: Inode, parent: Inode, name: string): void {
  const at = inode.aliases?.findIndex((alias) => alias.parent === parent && alias.name === name) ?? -1;
  if (at < 0) return;
  inode.aliases![at] = { parent: inode.parent!, name: inode.name };
  inode.parent = parent;
  inode.name = name;
}

/** Forgets a name of an inode; another known one takes its place. Returns whether any is left. */
export function removeName(inode: Inode, parent: Inode, name: string): boolean {
  const { children } = parent.dir!;
  if (children.get(name) === inode) children.delete(name);
  if (inode.parent === parent && inode.name === name) {
    const next: Alias | undefined = inode.aliases?.shift();
    inode.parent = next?.parent ?? null;
    inode.name = next?.name ?? '';
  } else if (inode.aliases !== null) {
    inode.aliases = inode.aliases.filter((alias) => alias.parent !== parent || alias.name !== name);
  }
  if (inode.aliases?.length === 0) inode.aliases = null;
  return inode.parent !== null;
}

/** Frees an inode that the kernel has forgotten and that has no children, then its parent if that was all it waited for. */
export function dropInode(ov: Overlay, inode: Inode): void {
  let next: Inode | null = inode;
  while (next !== null) {
    const gone: Inode = next;
    next = null;
    if (gone.nlookup > 0 || gone === ov.root) return;
    if (gone.pending !== null || (gone.dir !== null && gone.dir.children.size > 0)) return;
    giveUp(ov, gone);
    while (gone.parent !== null) {
      const { parent } = gone;
      removeName(gone, parent, gone.name);
      if (gone.parent === null) next = parent;
      else dropInode(ov, parent);
    }
    ov.nodes.delete(gone.id);
  }
}

/** At the end of the mount: releases what is held for inodes that the kernel never forgot, and abandons copy-ups under way. */
export function giveUpAll(ov: Overlay): void {
  for (const inode of ov.nodes) {
    if (inode.pending !== null) abandon(ov, inode.pending.copy);
    inode.pending = null;
    closeOrphan(inode);
  }
}

function closeOrphan(inode: Inode): void {
  if (inode.orphan >= 0) sys.close(inode.orphan);
  inode.orphan = -1;
}

/** Releases everything that is held for an inode. */
function giveUp(ov: Overlay, inode: Inode): void {
  if (inode.linkKey !== 0 && ov.upperLinks.get(inode.linkKey) === inode) ov.upperLinks.delete(inode.linkKey);
  if (inode.index !== null) leaveIndex(ov, inode);
  unclaim(ov, inode);
  closeOrphan(inode);
  // Even a directory has a descriptor there after fsync.
  ov.files.drop(inode);
  if (inode.dir === null) return;
  ov.listings.drop(inode);
  for (const real of inode.dir.real) ov.dirs.drop(real);
}
