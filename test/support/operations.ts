/**
 * The operations that steps are made of: each a row `name: (machine, ...words) => result`. A result is text:
 * `ok`, a number, quoted data, or the name of an errno. Paths are relative to the machine's root; descriptors and
 * mappings go by names that the steps choose.
 */
import { spawnSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import * as sys from '../../src/sys/index.js';
import { sha } from './snapshot.js';
import * as more from './syscalls.js';
import { brief, printable } from './words.js';

/** Where steps run: a root directory and what they have open. */
export interface Machine {
  /** Path of the root, for operations that have no call relative to a descriptor. */
  readonly path: string;
  readonly root: number;
  readonly fds: Map<string, number>;
  readonly maps: Map<string, { address: number; length: number }>;
  readonly marks: Map<string, string>;
  /** Moments from here on are "now". */
  readonly now: number;
  user: { uid: number; gid: number } | null;
}

export type Operation = (machine: Machine, ...words: string[]) => string;

const stat = new sys.Stat();
const fsStat = new sys.StatFs();
const buffer = Buffer.alloc(1 << 20);

function outcome(rc: number): string {
  return rc < 0 ? sys.errnoName(rc) : 'ok';
}

function count(rc: number): string {
  return rc < 0 ? sys.errnoName(rc) : String(rc);
}

function data(bytes: Buffer): string {
  return brief(bytes, sha);
}

/** Flag words joined by `|`, looked up with a prefix in the constants of sys. */
function flags(
  text: string | undefined,
  prefix: string,
  extra: Readonly<Record<string, number>> = {},
): number {
  if (text === undefined || text === '' || text === '0') return 0;
  const constants = sys as unknown as Record<string, number>;
  return text.split('|').reduce((sum, word) => {
    const value = extra[word] ?? constants[prefix + word] ?? Number(word);
    if (Number.isNaN(value)) throw new Error(`unknown flag ${word}`);
    return sum | value;
  }, 0);
}

const octal = (text: string | undefined, fallback: number): number =>
  text === undefined ? fallback : Number.parseInt(text, 8);

function fd(machine: Machine, name: string | undefined): number {
  return machine.fds.get(name ?? '') ?? -1;
}

function keep(machine: Machine, name: string, rc: number): string {
  if (rc < 0) return sys.errnoName(rc);
  const old = machine.fds.get(name);
  if (old !== undefined) sys.close(old);
  machine.fds.set(name, rc);
  return 'ok';
}

function withFd(
  machine: Machine,
  path: string,
  openFlags: number,
  mode: number,
  use: (fd: number) => string,
): string {
  // Does not wait for the other end of a fifo.
  const opened = sys.openat(machine.root, path, openFlags | sys.O_CLOEXEC | sys.O_NONBLOCK, mode);
  if (opened < 0) return sys.errnoName(opened);
  try {
    return use(opened);
  } finally {
    sys.close(opened);
  }
}

function timespec(text: string): sys.Timespec {
  if (text === 'now') return { sec: 0, nsec: sys.UTIME_NOW };
  if (text === 'omit') return { sec: 0, nsec: sys.UTIME_OMIT };
  const [sec = '0', nsec = '0'] = text.split('.');
  return { sec: Number(sec), nsec: Number(nsec.padEnd(9, '0')) };
}

function ids(text: string): [number, number] {
  const [uid = '', gid = ''] = text.split(':');
  return [uid === '' ? sys.KEEP_ID : Number(uid), gid === '' ? sys.KEEP_ID : Number(gid)];
}

function time(machine: Machine, seconds: number, nanoseconds: number): string {
  return seconds >= machine.now ? 'now' : `${seconds}.${String(nanoseconds).padStart(9, '0')}`;
}

const FIELDS: Readonly<Record<string, (machine: Machine) => string>> = {
  type: () => ((stat.mode & sys.S_IFMT) >> 12).toString(8),
  mode: () => (stat.mode & 0o7777).toString(8),
  size: () => String(stat.size),
  nlink: () => String(stat.nlink),
  owner: () => `${stat.uid}:${stat.gid}`,
  blocks: () => String(stat.blocks),
  rdev: () => `${stat.rdevMajor}:${stat.rdevMinor}`,
  atime: (machine) => time(machine, stat.atime, stat.atimeNsec),
  mtime: (machine) => time(machine, stat.mtime, stat.mtimeNsec),
};

function showStat(machine: Machine, rc: number, fields = 'type,mode,owner,nlink,size'): string {
  if (rc < 0) return sys.errnoName(rc);
  return fields
    .split(',')
    .map((name) => {
      const show = FIELDS[name];
      if (show === undefined) throw new Error(`unknown field ${name}`);
      return `${name}=${show(machine)}`;
    })
    .join(' ');
}

function identity(): string {
  return `${stat.devMajor}:${stat.devMinor}:${stat.inoHi}:${stat.inoLo}`;
}

function names(rc: sys.Dirent[] | number): string {
  return typeof rc === 'number' ? sys.errnoName(rc) : rc.map((entry) => printable(entry.name)).join(' ');
}

/** Reads one small batch of entries: the rest stays for a later call. */
function someNames(descriptor: number): string {
  const batch = Buffer.alloc(280);
  const filled = sys.getdents64(descriptor, batch);
  if (filled < 0) return sys.errnoName(filled);
  const found: string[] = [];
  for (let at = 0; at < filled; at += batch.readUInt16LE(at + 16)) {
    const name = batch.toString('latin1', at + 19, batch.indexOf(0, at + 19));
    if (name !== '.' && name !== '..') found.push(printable(name));
  }
  return filled === 0 ? 'end' : found.join(' ');
}

function parents(machine: Machine, path: string): number {
  const parts = path.split('/').slice(0, -1);
  for (let i = 1; i <= parts.length; i++) {
    const rc = sys.mkdirat(machine.root, parts.slice(0, i).join('/'), 0o755);
    if (rc < 0 && rc !== -sys.EEXIST) return rc;
  }
  return 0;
}

function writeAll(descriptor: number, text: string): string {
  return count(sys.write(descriptor, Buffer.from(text, 'latin1'), text.length));
}

const NODES: Readonly<Record<string, number>> = {
  f: sys.S_IFREG,
  c: sys.S_IFCHR,
  b: sys.S_IFBLK,
  p: sys.S_IFIFO,
  s: sys.S_IFSOCK,
};
const FALLOCATE = { KEEP_SIZE: 1, PUNCH_HOLE: 2, COLLAPSE: 8, ZERO_RANGE: 16, INSERT: 32, UNSHARE: 64 };
const OPEN = { NOFOLLOW: sys.O_NOFOLLOW, DIRECTORY: sys.O_DIRECTORY, TMPFILE: sys.O_TMPFILE };
const FLOCK = { SH: 1, EX: 2, UN: 8 };

/**
 * Kernel overlayfs copies a file up when it is opened for writing, plyfs at the first change: this makes a change that fails
 * after the copy-up, so that both are in the same state.
 */
function forceCopyUp(opened: number): void {
  sys.setxattr(opened, '', 'user.not-there', buffer, 1, sys.XATTR_REPLACE);
  // With an index, setting an xattr does not make the link on upper for a further name of a file; setting the mode does.
  if (sys.fstatx(opened, stat) === 0 && stat.nlink > 1) sys.fchmod(opened, stat.mode & 0o7777);
}

/** Building blocks of layers: they make missing parents. */
const making: Record<string, Operation> = {
  put: (m, path = '', text = '', mode) => {
    parents(m, path);
    return withFd(m, path, sys.O_WRONLY | sys.O_CREAT | sys.O_TRUNC, 0o644, (f) => {
      const wrote = writeAll(f, text);
      return mode === undefined ? wrote : outcome(sys.fchmod(f, octal(mode, 0)));
    });
  },
  dir: (m, path = '', mode) => {
    parents(m, path);
    const rc = sys.mkdirat(m.root, path, 0o755);
    if (rc < 0 && rc !== -sys.EEXIST) return sys.errnoName(rc);
    return mode === undefined ? 'ok' : outcome(sys.fchmodat(m.root, path, octal(mode, 0)));
  },
  whiteout: (m, path = '') => {
    parents(m, path);
    return outcome(sys.mknodat(m.root, path, sys.S_IFCHR));
  },
  opaque: (m, path = '') => {
    const made = making['dir']!(m, path);
    return made === 'ok' ? naming['setxattr']!(m, path, 'trusted.overlay.opaque', 'y') : made;
  },
};

/** Names: create, link, rename, remove, list. */
const naming: Record<string, Operation> = {
  mkdir: (m, path = '', mode) => outcome(sys.mkdirat(m.root, path, octal(mode, 0o777))),
  mknod: (m, path = '', type = '', mode = '666', device = '0:0') => {
    const [major = 0, minor = 0] = device.split(':').map(Number);
    return outcome(sys.mknodat(m.root, path, NODES[type]! | octal(mode, 0), major, minor));
  },
  symlink: (m, target = '', path = '') => outcome(sys.symlinkat(target, m.root, path)),
  link: (m, from = '', to = '', flag) => outcome(sys.linkat(m.root, from, m.root, to, flags(flag, 'AT_'))),
  linkfd: (m, name, to = '') =>
    outcome(sys.linkat(sys.AT_FDCWD, `/proc/self/fd/${fd(m, name)}`, m.root, to, sys.AT_SYMLINK_FOLLOW)),
  unlink: (m, path = '') => outcome(sys.unlinkat(m.root, path)),
  rmdir: (m, path = '') => outcome(sys.unlinkat(m.root, path, sys.AT_REMOVEDIR)),
  rename: (m, from = '', to = '', flag) =>
    outcome(sys.renameat2(m.root, from, m.root, to, flags(flag, 'RENAME_'))),
  readlink: (m, path = '') => {
    const rc = sys.readlinkat(m.root, path, buffer);
    return rc < 0 ? sys.errnoName(rc) : printable(buffer.toString('latin1', 0, rc));
  },
  /** Names in sorted order; `order` returns them in the filesystem's order. */
  list: (m, path = '') =>
    withFd(m, path, sys.O_RDONLY | sys.O_DIRECTORY, 0, (f) => {
      const found = sys.readDirectory(f);
      if (typeof found !== 'number') found.sort((a, b) => (a.name < b.name ? -1 : 1));
      return names(found);
    }),
  order: (m, path = '') =>
    withFd(m, path, sys.O_RDONLY | sys.O_DIRECTORY, 0, (f) => names(sys.readDirectory(f))),
  dots: (m, path = '') =>
    withFd(m, path, sys.O_RDONLY | sys.O_DIRECTORY, 0, (f) => {
      const filled = sys.getdents64(f, buffer);
      const self = new sys.Stat();
      sys.fstatx(f, self);
      let text = `first=${filled < 0 ? sys.errnoName(filled) : buffer.toString('latin1', 19, 20)}`;
      text += buffer.readInt32LE(0) === self.inoLo ? ' own number' : ' other number';
      return text;
    }),
  /** What an open directory still lists; with a prefix, only the names that begin with it, sorted. */
  names: (m, name, prefix) => {
    const found = sys.readDirectory(fd(m, name));
    if (typeof found === 'number' || prefix === undefined) return names(found);
    const some = found.filter((entry) => entry.name.startsWith(prefix));
    return names(some.sort((a, b) => (a.name < b.name ? -1 : 1)));
  },
  some: (m, name) => someNames(fd(m, name)),
  /** telldir and seekdir: remembers a position of an open directory, and goes back to it. */
  tell: (m, mark = '', name) => {
    const at = sys.lseek(fd(m, name), 0, sys.SEEK_CUR);
    if (at >= 0) m.marks.set(mark, String(at));
    return at < 0 ? sys.errnoName(at) : 'ok';
  },
  seek: (m, name, mark = '') => {
    const at = sys.lseek(fd(m, name), Number(m.marks.get(mark)), sys.SEEK_SET);
    return at < 0 ? sys.errnoName(at) : 'ok';
  },
  setxattr: (m, path = '', name = '', value = '', flag = '') =>
    outcome(
      sys.setxattr(m.root, path, name, Buffer.from(value, 'latin1'), value.length, flags(flag, 'XATTR_')),
    ),
  getxattr: (m, path = '', name = '', size = '65536') => {
    const rc = sys.getxattr(m.root, path, name, buffer, Number(size));
    if (rc < 0) return sys.errnoName(rc);
    return size === '0' ? String(rc) : data(buffer.subarray(0, rc));
  },
  listxattr: (m, path = '', size = '65536') => {
    const rc = sys.listxattr(m.root, path, buffer, Number(size));
    if (rc < 0) return sys.errnoName(rc);
    if (size === '0') return String(rc);
    const names = buffer.toString('latin1', 0, rc).split('\0').filter(Boolean).sort();
    // setfsuid(2) keeps CAP_SYS_ADMIN, with which the kernel shows these; plyfs only looks at the user.
    return names.filter((name) => m.user === null || !name.startsWith('trusted.')).join(' ');
  },
  removexattr: (m, path = '', name = '') => outcome(sys.removexattr(m.root, path, name)),
};

/** Attributes by name. */
const attributes: Record<string, Operation> = {
  chmod: (m, path = '', mode) => outcome(sys.fchmodat(m.root, path, octal(mode, 0))),
  chown: (m, path = '', owner = '') => outcome(sys.fchownat(m.root, path, ...ids(owner))),
  utimens: (m, path = '', atime = 'now', mtime = 'now') =>
    outcome(sys.utimensat(m.root, path, timespec(atime), timespec(mtime))),
  stat: (m, path = '', fields) => showStat(m, sys.statx(m.root, path, stat), fields),
  access: (m, path = '', how = '') => {
    const bits = { r: 4, w: 2, x: 1 } as Record<string, number>;
    return outcome(
      more.access(
        m.root,
        path,
        [...how].reduce((sum, bit) => sum | bits[bit]!, 0),
      ),
    );
  },
  truncate: (m, path = '', size) => outcome(more.truncate(`${m.path}/${path}`, Number(size))),
  statfs: (m, path = '') =>
    withFd(m, path, sys.O_RDONLY, 0, (f) => {
      const rc = sys.fstatfs(f, fsStat);
      return rc < 0
        ? sys.errnoName(rc)
        : `namelen=${fsStat.namelen} bsize=${fsStat.bsize} blocks=${fsStat.blocks}`;
    }),
  handle: (m, path = '') => {
    const handle = sys.nameToHandle(m.root, path);
    return typeof handle === 'number' ? sys.errnoName(handle) : 'ok';
  },
  mark: (m, name = '', path = '') => {
    const rc = sys.statx(m.root, path, stat);
    if (rc === 0) m.marks.set(name, identity());
    return outcome(rc);
  },
  same: (m, name = '', path = '') => {
    const rc = sys.statx(m.root, path, stat);
    if (rc < 0) return sys.errnoName(rc);
    return m.marks.get(name) === identity() ? 'same inode' : 'other inode';
  },
};

/** Open files. */
const files: Record<string, Operation> = {
  open: (m, name = '', path = '', how = 'RDONLY', mode) => {
    const opened = sys.openat(m.root, path, flags(how, 'O_', OPEN) | sys.O_CLOEXEC, octal(mode, 0o666));
    if (opened >= 0 && /WRONLY|RDWR/.test(how) && !how.includes('TMPFILE')) forceCopyUp(opened);
    return keep(m, name, opened);
  },
  /** Only the open. */
  lazyopen: (m, name = '', path = '', how = 'RDONLY') =>
    keep(m, name, sys.openat(m.root, path, flags(how, 'O_', OPEN) | sys.O_CLOEXEC)),
  close: (m, name = '') => {
    const rc = sys.close(fd(m, name));
    m.fds.delete(name);
    return outcome(rc);
  },
  cat: (m, path = '') =>
    withFd(m, path, sys.O_RDONLY, 0, (f) => {
      const rc = sys.read(f, buffer, buffer.length);
      return rc < 0 ? sys.errnoName(rc) : data(buffer.subarray(0, rc));
    }),
  read: (m, name, offset = '0', size = '65536') => {
    const rc = sys.pread(fd(m, name), buffer, Number(size), Number(offset));
    return rc < 0 ? sys.errnoName(rc) : data(buffer.subarray(0, rc));
  },
  write: (m, name, offset = '0', text = '') =>
    count(sys.pwrite(fd(m, name), Buffer.from(text, 'latin1'), text.length, Number(offset))),
  append: (m, name, text = '') => writeAll(fd(m, name), text),
  add: (m, path = '', text = '') => withFd(m, path, sys.O_WRONLY | sys.O_APPEND, 0, (f) => writeAll(f, text)),
  fstat: (m, name, fields) => showStat(m, sys.fstatx(fd(m, name), stat), fields),
  fsame: (m, mark = '', name) => {
    const rc = sys.fstatx(fd(m, name), stat);
    if (rc < 0) return sys.errnoName(rc);
    return m.marks.get(mark) === identity() ? 'same inode' : 'other inode';
  },
  fchmod: (m, name, mode) => outcome(sys.fchmod(fd(m, name), octal(mode, 0))),
  fchown: (m, name, owner = '') => outcome(sys.fchown(fd(m, name), ...ids(owner))),
  futimens: (m, name, atime = 'now', mtime = 'now') =>
    outcome(sys.futimens(fd(m, name), timespec(atime), timespec(mtime))),
  ftruncate: (m, name, size) => outcome(sys.ftruncate(fd(m, name), Number(size))),
  fallocate: (m, name, mode, offset, length) =>
    outcome(sys.fallocate(fd(m, name), flags(mode, '', FALLOCATE), Number(offset), Number(length))),
  lseek: (m, name, offset, whence) => count(sys.lseek(fd(m, name), Number(offset), flags(whence, 'SEEK_'))),
  copyrange: (m, from, fromOffset, to, toOffset, length) =>
    count(sys.copyFileRange(fd(m, from), Number(fromOffset), fd(m, to), Number(toOffset), Number(length))),
  fsync: (m, name) => outcome(sys.fsync(fd(m, name))),
  fdatasync: (m, name) => outcome(sys.fdatasync(fd(m, name))),
  syncfs: (m, name) => outcome(sys.syncfs(fd(m, name))),
  flock: (m, name, how) => outcome(sys.flock(fd(m, name), flags(how, '', FLOCK) | sys.LOCK_NB)),
  lock: (m, name, type = '', start = '0', length = '0') =>
    outcome(more.lock(fd(m, name), more.LOCK_TYPES[type]!, Number(start), Number(length))),
  mmap: (m, map = '', name = '', length = '4096', how = 'R') => {
    const protection = more.PROT_READ | (how.includes('W') ? more.PROT_WRITE : 0);
    const address = more.mmap(fd(m, name), Number(length), protection);
    if (address < 0) return sys.errnoName(address);
    m.maps.set(map, { address, length: Number(length) });
    return 'ok';
  },
  peek: (m, map = '', length = '16') => printable(more.peek(m.maps.get(map)!.address, Number(length))),
  poke: (m, map = '', text = '') => {
    more.poke(m.maps.get(map)!.address, text);
    return 'ok';
  },
  msync: (m, map = '') => outcome(more.msync(m.maps.get(map)!.address, m.maps.get(map)!.length)),
};

/** Identity of the steps, and whole programs. */
const process_: Record<string, Operation> = {
  user: (m, owner = '0:0', groups = '') => {
    const [uid, gid] = ids(owner);
    sys.setfsuid(0);
    more.setgroups(groups === '' ? [] : groups.split(',').map(Number));
    sys.setfsgid(gid);
    sys.setfsuid(uid);
    m.user = uid === 0 && gid === 0 ? null : { uid, gid };
    return 'ok';
  },
  umask: (_, mask) => {
    sys.umask(octal(mask, 0o022));
    return 'ok';
  },
  /** The kernel drops unused names and inodes of all mounts: a filesystem is then asked for them again. */
  forget: () => {
    writeFileSync('/proc/sys/vm/drop_caches', '2');
    return 'ok';
  },
  sh: (m, ...script) => {
    const result = spawnSync('/bin/sh', ['-c', script.join(' ')], {
      cwd: m.path,
      // Less than the time limit of the agent's client.
      timeout: 40_000,
      encoding: 'latin1',
      env: { ...process.env, LC_ALL: 'C' },
    });
    return `${result.status}: ${printable(result.stdout + result.stderr.replaceAll(m.path, ''))}`;
  },
};

export const operations: Readonly<Record<string, Operation>> = {
  ...making,
  ...naming,
  ...attributes,
  ...files,
  ...process_,
};
