/** Which extended attributes go into a layer's tar, and which may come out of one. */

const OWN = ['trusted.overlay.', 'user.overlay.'];
const ESCAPE = 'overlay.';
/** xattrs that concern only this machine, or another tool. */
const DROPPED = ['security.selinux', 'user.fuseoverlayfs.', 'user.containers.', 'security.fuseoverlayfs.'];

function isDropped(name: string): boolean {
  return DROPPED.some((prefix) => name === prefix || (prefix.endsWith('.') && name.startsWith(prefix)));
}

/** The name in a tar of an attribute stored in a layer; null: it is left out. */
export function exportedName(stored: string): string | null {
  // A name with '=' can't be written as a pax record.
  if (isDropped(stored) || stored.includes('=')) return null;
  const own = OWN.find((prefix) => stored.startsWith(prefix));
  if (own === undefined) return stored;
  // What a user of the mount stored under such a name is kept one level deeper.
  const rest = stored.slice(own.length);
  return rest.startsWith(ESCAPE) ? own + rest.slice(ESCAPE.length) : null;
}

/** The reverse: a mark in an archive must not take effect in a layer, so it is stored one level deeper. null: refused. */
export function importedName(name: string): string | null {
  if (name.includes('\0') || name === '' || isDropped(name)) return null;
  const own = OWN.find((prefix) => name.startsWith(prefix));
  if (own !== undefined) return own + ESCAPE + name.slice(own.length);
  const isAcl = name === 'system.posix_acl_access' || name === 'system.posix_acl_default';
  return isAcl || /^(user|trusted|security)\../.test(name) ? name : null;
}
