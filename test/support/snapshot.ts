/** A tree as text: one line per name, with everything about it that is deterministic. */
import { createHash } from 'node:crypto';
import * as sys from '../../src/sys/index.js';
import { brief, printable } from './words.js';

/** Path relative to the root (which is ".") to the object's description. */
export type Snapshot = Record<string, string>;

export interface SnapshotOptions {
  /** Times from this one on (seconds) are only shown as "now"; earlier ones are compared exactly. */
  readonly now: number;
  /** `merged`: as a user sees it. `layer`: the raw form, with whiteouts and overlay xattrs. */
  readonly view: 'merged' | 'layer';
  /** Inode numbers and change times, too: to detect any change. */
  readonly exact?: boolean;
  /** Inode numbers by path from the previous snapshot: a path that now has another one is marked. Updated. */
  readonly inodes?: Map<string, string>;
}

const XATTRS = Buffer.alloc(65536);
const VALUE = Buffer.alloc(65536);
const TYPES: Readonly<Record<number, string>> = {
  [sys.S_IFREG]: 'file',
  [sys.S_IFDIR]: 'dir',
  [sys.S_IFLNK]: 'link',
  [sys.S_IFCHR]: 'char',
  [sys.S_IFBLK]: 'block',
  [sys.S_IFIFO]: 'fifo',
  [sys.S_IFSOCK]: 'socket',
};
const DTYPES: Readonly<Record<number, string>> = {
  [sys.DT_REG]: 'file',
  [sys.DT_DIR]: 'dir',
  [sys.DT_LNK]: 'link',
  [sys.DT_CHR]: 'char',
  [sys.DT_BLK]: 'block',
  [sys.DT_FIFO]: 'fifo',
  [sys.DT_SOCK]: 'socket',
};

const READ = sys.O_RDONLY | sys.O_DIRECTORY | sys.O_NOATIME | sys.O_CLOEXEC;

export function sha(data: Buffer): string {
  return createHash('sha1').update(data).digest('hex').slice(0, 12);
}

class Walk {
  readonly lines: Snapshot = {};
  readonly #inodes = new Map<string, string>();
  readonly #stat = new sys.Stat();
  readonly #options: SnapshotOptions;
  #dev = '';

  constructor(options: SnapshotOptions) {
    this.#options = options;
  }

  root(fd: number): void {
    if (this.#options.view === 'merged') this.#readAll(fd);
    const { line } = this.#describe(fd, '', '.');
    this.lines['.'] = line;
    this.#dev = `${this.#stat.devMajor}:${this.#stat.devMinor}`;
    this.#children(fd, '');
  }

  /** Reads every directory before anything is looked up: callers that only ask for names may get them in another way. */
  #readAll(dirfd: number): void {
    const fd = sys.openat(dirfd, '.', READ);
    const entries = fd < 0 ? [] : sys.readDirectory(fd);
    if (fd >= 0) sys.close(fd);
    if (typeof entries === 'number') return;
    for (const { name, type } of entries) {
      if (type !== sys.DT_DIR) continue;
      const child = sys.openat(dirfd, name, sys.O_PATH | sys.O_DIRECTORY | sys.O_NOFOLLOW | sys.O_CLOEXEC);
      if (child < 0) continue;
      this.#readAll(child);
      sys.close(child);
    }
  }

  #children(dirfd: number, prefix: string): void {
    const fd = sys.openat(dirfd, '.', READ);
    if (fd < 0) {
      this.lines[`${prefix}*`] = `open: ${sys.errnoName(fd)}`;
      return;
    }
    const entries = sys.readDirectory(fd);
    if (typeof entries === 'number') {
      this.lines[`${prefix}*`] = `getdents: ${sys.errnoName(entries)}`;
    } else {
      entries.sort((a, b) => (a.name < b.name ? -1 : 1));
      for (const entry of entries) this.#entry(fd, prefix, entry);
    }
    sys.close(fd);
  }

  #entry(dirfd: number, prefix: string, entry: sys.Dirent): void {
    const path = prefix + entry.name;
    if (path in this.lines) {
      this.lines[path] += ' LISTED TWICE';
      return;
    }
    const { line, type } = this.#describe(dirfd, entry.name, path);
    this.lines[path] = line + this.#identity(entry, path, type);
    if (type !== 'dir') return;
    const fd = sys.openat(dirfd, entry.name, sys.O_PATH | sys.O_DIRECTORY | sys.O_NOFOLLOW | sys.O_CLOEXEC);
    if (fd < 0) this.lines[`${path}/*`] = `open: ${sys.errnoName(fd)}`;
    else {
      this.#children(fd, `${path}/`);
      sys.close(fd);
    }
  }

  /** Facts about inodes that don't depend on the numbers: d_ino = st_ino, one device, which names are one file. */
  #identity(entry: sys.Dirent, path: string, type: string): string {
    const stat = this.#stat;
    let text = '';
    if (type !== 'gone' && entry.type !== sys.DT_UNKNOWN && DTYPES[entry.type] !== type) {
      text += ` d_type=${DTYPES[entry.type] ?? entry.type}`;
    }
    if (this.#options.view === 'merged') {
      if (entry.inoLo !== stat.inoLo || entry.inoHi !== stat.inoHi) text += ' d_ino!=st_ino';
      if (`${stat.devMajor}:${stat.devMinor}` !== this.#dev) text += ' other st_dev';
    }
    const id = `${stat.inoHi}:${stat.inoLo}`;
    const before = this.#options.inodes?.get(path);
    if (before !== undefined && before !== `${type} ${id}`) text += ' (new inode)';
    this.#options.inodes?.set(path, `${type} ${id}`);
    if (this.#options.exact) text += ` ino=${id}`;
    else if (!(this.#options.view === 'layer' && stat.isWhiteout)) {
      const first = this.#inodes.get(id);
      if (first === undefined) this.#inodes.set(id, path);
      else text += ` same=${first}`;
    }
    return text;
  }

  #describe(dirfd: number, name: string, path: string): { line: string; type: string } {
    const stat = this.#stat;
    const rc = name === '' ? sys.fstatx(dirfd, stat) : sys.statx(dirfd, name, stat);
    if (rc < 0) return { line: `stat: ${sys.errnoName(rc)}`, type: 'gone' };
    const type = TYPES[stat.mode & sys.S_IFMT] ?? 'unknown';
    if (this.#options.view === 'layer' && stat.isWhiteout) return { line: 'whiteout', type: 'char' };
    const words = [type, (stat.mode & 0o7777).toString(8).padStart(4, '0'), `${stat.uid}:${stat.gid}`];
    if (type !== 'dir') words.push(`nlink=${stat.nlink}`);
    else if (this.#options.view === 'merged' && path !== '.') words.push(`nlink=${stat.nlink}`);
    if (type === 'char' || type === 'block') words.push(`rdev=${stat.rdevMajor}:${stat.rdevMinor}`);
    words.push(`mtime=${this.#moment(stat.mtime, stat.mtimeNsec)}`);
    if (this.#options.exact) words.push(`ctime=${stat.ctime}.${stat.ctimeNsec}`);
    // The calls below don't overwrite #stat.
    if (type === 'file') words.push(this.#content(dirfd, name));
    if (type === 'link') words.push(`-> ${this.#target(dirfd, name)}`);
    words.push(...this.#xattrs(dirfd, name));
    return { line: words.join(' '), type };
  }

  #moment(seconds: number, nanoseconds: number): string {
    return seconds >= this.#options.now ? 'now' : `${seconds}.${String(nanoseconds).padStart(9, '0')}`;
  }

  #content(dirfd: number, name: string): string {
    const size = this.#stat.size;
    if (size > 1 << 26) return `size=${size}`;
    const fd = sys.openat(dirfd, name, sys.O_RDONLY | sys.O_NOFOLLOW | sys.O_NOATIME | sys.O_CLOEXEC);
    if (fd < 0) return `open: ${sys.errnoName(fd)}`;
    const data = Buffer.alloc(size + 1);
    let at = 0;
    for (;;) {
      const got = sys.pread(fd, data.subarray(at), data.length - at, at);
      if (got < 0) {
        sys.close(fd);
        return `read: ${sys.errnoName(got)}`;
      }
      if (got === 0) break;
      at += got;
    }
    sys.close(fd);
    const text = brief(data.subarray(0, at), sha);
    return at === size ? text : `${text} size=${size}`;
  }

  #target(dirfd: number, name: string): string {
    const into = Buffer.alloc(4096);
    const rc = sys.readlinkat(dirfd, name, into);
    return rc < 0 ? sys.errnoName(rc) : printable(into.toString('latin1', 0, rc));
  }

  #xattrs(dirfd: number, name: string): string[] {
    const size = sys.listxattr(dirfd, name, XATTRS, XATTRS.length);
    if (size === -sys.EOPNOTSUPP) return [];
    if (size < 0) return [`listxattr: ${sys.errnoName(size)}`];
    const names = XATTRS.toString('latin1', 0, size).split('\0').filter(Boolean).sort();
    return names.map((attribute) => {
      const length = sys.getxattr(dirfd, name, attribute, VALUE, VALUE.length);
      if (length < 0) return `${attribute}: ${sys.errnoName(length)}`;
      const value = VALUE.subarray(0, length);
      if (!this.#options.exact && /^(trusted|user)\.overlay\.origin$/.test(attribute)) return origin(value);
      if (!this.#options.exact && /^(trusted|user)\.overlay\.uuid$/.test(attribute)) return 'uuid';
      const list = /^system\.posix_acl_(access|default)$/.exec(attribute);
      if (list !== null) return `${list[1] === 'access' ? 'acl' : 'default'}=${aclText(value)}`;
      return `${attribute}=${brief(value, sha)}`;
    });
  }
}

const ACL_TAGS: Readonly<Record<number, string>> = { 1: 'u', 2: 'u', 4: 'g', 8: 'g', 16: 'm', 32: 'o' };

/** A POSIX ACL as text, e.g. `u::rw-,u:7:r--,g::r--,m::rw-,o::---`. */
function aclText(value: Buffer): string {
  const entries: string[] = [];
  for (let at = 4; at + 8 <= value.length; at += 8) {
    const tag = value.readUInt16LE(at);
    const bits = value.readUInt16LE(at + 2);
    const id = tag === 2 || tag === 8 ? value.readUInt32LE(at + 4) : '';
    const mode = `${bits & 4 ? 'r' : '-'}${bits & 2 ? 'w' : '-'}${bits & 1 ? 'x' : '-'}`;
    entries.push(`${ACL_TAGS[tag] ?? tag}:${id}:${mode}`);
  }
  return value.readUInt32LE(0) === 2 ? entries.join(',') : `BAD:${value.toString('hex')}`;
}

/** The origin blob differs between two copies of a stack: only whether it is well-formed is recorded. */
function origin(value: Buffer): string {
  if (value.length === 0) return 'origin=unknown';
  const good = value[0] === 0 && value[1] === 0xfb && value[2] === value.length && value.length > 21;
  return good ? 'origin' : `origin=BAD:${value.toString('hex')}`;
}

/** Records the tree under `directory` (a latin1 path). For a mount only from a child process (agent.ts). */
export function snapshot(directory: string, options: SnapshotOptions): Snapshot {
  const fd = sys.openat(sys.AT_FDCWD, directory, sys.O_PATH | sys.O_DIRECTORY | sys.O_CLOEXEC);
  if (fd < 0) return { '.': `open: ${sys.errnoName(fd)}` };
  const walk = new Walk(options);
  walk.root(fd);
  sys.close(fd);
  return walk.lines;
}

/** Lines by which two snapshots differ, as `path: left | right`. */
export function difference(left: Snapshot, right: Snapshot): string[] {
  const lines: string[] = [];
  for (const path of [...new Set([...Object.keys(left), ...Object.keys(right)])].sort()) {
    const l = left[path] ?? '(nothing)';
    const r = right[path] ?? '(nothing)';
    if (l !== r) lines.push(`${printable(path)}: ${l} | ${r}`);
  }
  return lines;
}
