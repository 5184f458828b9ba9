/**
 * Unpacks the tar of a layer into a directory. The archive may be hostile: every object is reached from the directory's
 * descriptor by one real directory at a time, nothing is followed, and invalid contents are refused.
 */
import type { Readable } from 'node:stream';
import { OwnXattrs, setMark } from '../../overlay/own-xattrs.js';
import { removeTree } from '../../overlay/remove-tree.js';
import { UserError } from '../../overlay/user-error.js';
import { WH_OPAQUE, WH_PREFIX, WH_RESERVED } from '../../overlay/whiteout.js';
import * as sys from '../../sys/index.js';
import { check, quoted, reasonOf, shown } from '../text.js';
import { checkDepth, openAgain, openSub } from '../tree.js';
import { FileWriter } from './file-writer.js';
import { parsePaxTime } from './pax.js';
import { latin1Extract, safeComponents, sparseInfo, type TarHeader } from './tar-reader.js';
import { importedName } from './xattrs.js';

/** How a layer is unpacked, and what is refused. */
export interface UnpackOptions {
  /** Marks are `user.overlay.*`. */
  readonly userxattr: boolean;
  /** Make device nodes; without it they are left out. */
  readonly devices?: boolean | undefined;
  /** More entries than this are refused. */
  readonly maxEntries?: number | undefined;
  readonly onEntry?: ((entries: number) => void) | undefined;
}

/** What was unpacked. */
export interface UnpackResult {
  readonly entries: number;
  readonly bytes: number;
  readonly whiteouts: number;
  /** What was left out, and how often. */
  readonly warnings: readonly string[];
}

const MAX_ENTRIES = 5_000_000;
const DEFAULT_ACL = 'system.posix_acl_default';
const NEW_FILE = sys.O_WRONLY | sys.O_CREAT | sys.O_EXCL | sys.O_NOFOLLOW | sys.O_CLOEXEC;

/** Where an entry goes. */
interface Place {
  readonly dirfd: number;
  readonly name: string;
  /** As in the archive, for messages. */
  readonly path: string;
}

/** What a directory gets once its contents are complete. */
interface Later {
  readonly path: string;
  readonly mtime: sys.Timespec;
  /** New objects would inherit it. */
  readonly defaultAcl: Buffer | null;
}

/** Makes a layer directory of the entries of one tar. */
export class Unpacker {
  readonly #top: number;
  readonly #options: UnpackOptions;
  readonly #own: OwnXattrs;
  readonly #isRoot = process.geteuid!() === 0;
  readonly #stat = new sys.Stat();
  /** The directory used last, which is usually also the next one. */
  #dir: { readonly path: string; readonly fd: number } | null = null;
  readonly #later = new Map<string, Later>();
  readonly #left = new Map<string, number>();
  #entries = 0;
  #bytes = 0;
  #whiteouts = 0;

  /** Unpacks into the open directory `top`. */
  constructor(top: number, options: UnpackOptions) {
    this.#top = top;
    this.#options = options;
    this.#own = new OwnXattrs(options.userxattr);
  }

  /** Unpacks a whole tar. Throws a UserError; the caller must remove what was unpacked until then. */
  async run(tar: Readable): Promise<UnpackResult> {
    const stream = latin1Extract();
    tar.on('error', (error) => stream.destroy(error));
    tar.pipe(stream);
    try {
      for await (const entry of stream) {
        await this.#entry(entry.header, entry);
        entry.resume();
      }
      this.#finish();
    } catch (error) {
      tar.destroy();
      throw explained(error);
    } finally {
      if (this.#dir !== null) sys.close(this.#dir.fd);
      this.#dir = null;
    }
    const warnings = [...this.#left].map(([what, count]) => `${count} ${what}`);
    return { entries: this.#entries, bytes: this.#bytes, whiteouts: this.#whiteouts, warnings };
  }

  #leaveOut(what: string): void {
    this.#left.set(what, (this.#left.get(what) ?? 0) + 1);
  }

  async #entry(header: TarHeader, data: Readable): Promise<void> {
    this.#entries++;
    if (this.#entries > (this.#options.maxEntries ?? MAX_ENTRIES)) {
      throw new UserError(
        `the archive is refused: it has more than ${this.#entries - 1} entries; raise --max-entries if that is right.`,
      );
    }
    this.#options.onEntry?.(this.#entries);
    const sparse = sparseInfo(header.pax);
    const components = safeComponents(sparse?.name ?? header.name);
    if (components.length === 0) return this.#root(header);
    const place = this.#place(components);
    if (place.name.startsWith(WH_PREFIX)) return this.#whiteout(place);
    switch (header.type) {
      case 'directory':
        return this.#directory(place, header);
      case 'file':
      case 'contiguous-file':
        return await this.#file(place, header, data);
      case 'link':
        return this.#link(place, header);
      case 'symlink':
        return this.#symlink(place, header);
      case 'fifo':
        return this.#node(place, header, sys.S_IFIFO);
      case 'character-device':
        return this.#device(place, header, sys.S_IFCHR);
      case 'block-device':
        return this.#device(place, header, sys.S_IFBLK);
      default:
        throw new UserError(`the archive is refused: '${quoted(place.path)}' has an unknown type.`);
    }
  }

  /** The layer's root has attributes, too. */
  #root(header: TarHeader): void {
    if (header.type !== 'directory')
      throw new UserError('the archive is refused: an entry that is no directory has no name.');
    this.#attributes({ dirfd: this.#top, name: '.', path: '.' }, header, false);
    this.#later.set('.', laterOf('.', header));
  }

  #place(components: readonly string[]): Place {
    const parents = components.slice(0, -1);
    const path = components.join('/');
    checkDepth(path);
    return { dirfd: this.#openDir(parents), name: components[components.length - 1]!, path };
  }

  /** Descriptor of a directory, whose missing parts are created. A symlink or file in the way is refused. */
  #openDir(components: readonly string[]): number {
    const path = components.join('/');
    if (this.#dir?.path === path) return this.#dir.fd;
    let fd = openAgain(this.#top, '.');
    for (const name of components) {
      const above = fd;
      try {
        fd = this.#openOrMake(above, name, path);
      } finally {
        sys.close(above);
      }
    }
    if (this.#dir !== null) sys.close(this.#dir.fd);
    this.#dir = { path, fd };
    return fd;
  }

  #openOrMake(dirfd: number, name: string, path: string): number {
    let fd = openSub(dirfd, name);
    if (fd === -sys.ENOENT || (fd === -sys.ENOTDIR && this.#isWhiteout(dirfd, name))) {
      const hadWhiteout = fd === -sys.ENOTDIR;
      if (hadWhiteout) sys.unlinkat(dirfd, name);
      check(sys.mkdirat(dirfd, name, 0o755), 'create', path);
      fd = openSub(dirfd, name);
      if (fd >= 0 && hadWhiteout) this.#markOpaque(fd, path);
    }
    if (fd === -sys.ENOTDIR || fd === -sys.ELOOP) {
      throw new UserError(
        `the archive is refused: it puts '${quoted(path)}' below something that is no directory.`,
      );
    }
    return check(fd, 'open', path);
  }

  #isWhiteout(dirfd: number, name: string): boolean {
    return sys.statx(dirfd, name, this.#stat) === 0 && this.#stat.isWhiteout;
  }

  #markOpaque(fd: number, path: string): void {
    check(setMark(fd, '', this.#own.opaque), 'mark', path);
  }

  #whiteout({ dirfd, name, path }: Place): void {
    if (name === WH_OPAQUE) {
      this.#markOpaque(dirfd, path);
      return;
    }
    if (name.startsWith(WH_RESERVED)) {
      this.#leaveOut('names that AUFS keeps for itself were left out');
      return;
    }
    const hidden = name.slice(WH_PREFIX.length);
    if (hidden === '' || hidden === '.' || hidden === '..') {
      throw new UserError(`the archive is refused: '${quoted(path)}' hides nothing that can be.`);
    }
    this.#whiteouts++;
    const rc = sys.mknodat(dirfd, hidden, sys.S_IFCHR);
    if (rc !== -sys.EEXIST) return void check(rc, 'create the whiteout', path);
    // The layer itself has the name, so only what is below it must be hidden.
    const fd = openSub(dirfd, hidden);
    if (fd === -sys.ENOTDIR || fd === -sys.ELOOP) return;
    check(fd, 'open', path);
    try {
      this.#markOpaque(fd, path);
    } finally {
      sys.close(fd);
    }
  }

  /** Removes what is at the place. Returns whether that was a whiteout of this same layer. */
  #makeRoom({ dirfd, name, path }: Place): boolean {
    const rc = sys.statx(dirfd, name, this.#stat);
    if (rc === -sys.ENOENT) return false;
    check(rc, 'read', path);
    const wasWhiteout = this.#stat.isWhiteout;
    if (this.#dir !== null && `${this.#dir.path}/`.startsWith(`${path}/`)) {
      sys.close(this.#dir.fd);
      this.#dir = null;
    }
    const wasDir = (this.#stat.mode & sys.S_IFMT) === sys.S_IFDIR;
    check(removeTree(dirfd, name), 'replace', path);
    for (const known of wasDir ? this.#later.keys() : [])
      if (known === path || known.startsWith(`${path}/`)) this.#later.delete(known);
    return wasWhiteout;
  }

  #directory(place: Place, header: TarHeader): void {
    const { dirfd, name, path } = place;
    const rc = sys.statx(dirfd, name, this.#stat);
    const isThere = rc === 0 && (this.#stat.mode & sys.S_IFMT) === sys.S_IFDIR;
    if (!isThere) {
      const wasWhiteout = this.#makeRoom(place);
      check(sys.mkdirat(dirfd, name, 0o700), 'create', path);
      if (wasWhiteout) check(setMark(dirfd, name, this.#own.opaque), 'mark', path);
    }
    this.#attributes(place, header, false);
    this.#later.set(path, laterOf(path, header));
  }

  async #file(place: Place, header: TarHeader, data: Readable): Promise<void> {
    this.#makeRoom(place);
    const fd = check(sys.openat(place.dirfd, place.name, NEW_FILE, 0o600), 'create', place.path);
    try {
      const writer = new FileWriter(fd, place.path, sparseInfo(header.pax));
      const size = header.size;
      if (size > 0) for await (const chunk of data) writer.write(chunk as Buffer);
      writer.finish(size);
      this.#bytes += size;
      this.#owner(fd, '', header, place.path);
      check(sys.fchmod(fd, header.mode & 0o7777), 'change the mode of', place.path);
      this.#xattrs(fd, '', header, place.path);
      const mtime = mtimeOf(header);
      check(sys.futimens(fd, mtime, mtime), 'change the time of', place.path);
    } finally {
      sys.close(fd);
    }
  }

  #link(place: Place, header: TarHeader): void {
    const target = safeComponents(header.linkname ?? '');
    if (target.length === 0)
      throw new UserError(`the archive is refused: '${quoted(place.path)}' is a link to nothing.`);
    const to = target.join('/');
    if (to === place.path) return;
    // Both directories are needed at once, and #openDir() keeps one.
    const dirfd = sys.dup(place.dirfd);
    try {
      const from = { dirfd: this.#openDir(target.slice(0, -1)), name: target[target.length - 1]! };
      const rc = sys.statx(from.dirfd, from.name, this.#stat);
      if (rc < 0 || this.#stat.isWhiteout || (this.#stat.mode & sys.S_IFMT) === sys.S_IFDIR) {
        throw new UserError(
          `the archive is refused: '${quoted(place.path)}' is a link to '${quoted(to)}', which it does not have.`,
        );
      }
      const source = sys.dup(from.dirfd);
      this.#makeRoom({ ...place, dirfd });
      const linked = sys.linkat(source, from.name, dirfd, place.name);
      sys.close(source);
      check(linked, 'link', place.path);
    } finally {
      sys.close(dirfd);
    }
  }

  #symlink(place: Place, header: TarHeader): void {
    this.#makeRoom(place);
    const { dirfd, name, path } = place;
    check(sys.symlinkat(header.linkname ?? '', dirfd, name), 'create', path);
    this.#attributes(place, header, true);
  }

  #device(place: Place, header: TarHeader, type: number): void {
    const isWhiteout = type === sys.S_IFCHR && header.devmajor === 0 && header.devminor === 0;
    if (isWhiteout) this.#leaveOut('character devices 0:0, which would be whiteouts, were left out');
    else if (this.#options.devices !== true) this.#leaveOut('device nodes were left out');
    else if (!isDeviceNumber(header.devmajor) || !isDeviceNumber(header.devminor))
      throw new UserError(`the archive is refused: '${quoted(place.path)}' has no number of a device.`);
    else this.#node(place, header, type);
  }

  #node(place: Place, header: TarHeader, type: number): void {
    this.#makeRoom(place);
    const isDevice = type !== sys.S_IFIFO;
    const [major, minor] = isDevice ? [header.devmajor, header.devminor] : [0, 0];
    check(sys.mknodat(place.dirfd, place.name, type | 0o600, major, minor), 'create', place.path);
    this.#attributes(place, header, false);
    const mtime = mtimeOf(header);
    check(sys.utimensat(place.dirfd, place.name, mtime, mtime), 'change the time of', place.path);
  }

  /** Owner, then mode (which the owner's change may strip), then xattrs (which it does strip), then times. */
  #attributes(place: Place, header: TarHeader, isSymlink: boolean): void {
    const { dirfd, name, path } = place;
    this.#owner(dirfd, name, header, path);
    if (!isSymlink) check(sys.fchmodat(dirfd, name, header.mode & 0o7777), 'change the mode of', path);
    this.#xattrs(dirfd, name, header, path);
    if (!isSymlink) return;
    const mtime = mtimeOf(header);
    check(sys.utimensat(dirfd, name, mtime, mtime), 'change the time of', path);
  }

  #owner(fd: number, name: string, header: TarHeader, path: string): void {
    const uid = idOf(header.pax?.['uid'], header.uid);
    const gid = idOf(header.pax?.['gid'], header.gid);
    if (!this.#isRoot) {
      if (uid !== process.geteuid!() || gid !== process.getegid!())
        this.#leaveOut('owners were not set, which takes root');
      return;
    }
    check(
      name === '' ? sys.fchown(fd, uid, gid) : sys.fchownat(fd, name, uid, gid),
      'change the owner of',
      path,
    );
  }

  #xattrs(fd: number, name: string, header: TarHeader, path: string): void {
    for (const [key, text] of Object.entries(header.pax ?? {})) {
      if (!key.startsWith('SCHILY.xattr.')) continue;
      const attribute = key.slice('SCHILY.xattr.'.length);
      if (attribute === DEFAULT_ACL) continue;
      const to = importedName(attribute);
      if (to === null) {
        this.#leaveOut('xattrs that have no place in a layer were left out');
        continue;
      }
      this.#setXattr({ dirfd: fd, name, path }, to, Buffer.from(text, 'latin1'));
    }
  }

  #setXattr({ dirfd, name, path }: Place, attribute: string, value: Buffer): void {
    const rc = sys.setxattr(dirfd, name, attribute, value, value.length);
    if (rc === -sys.EOPNOTSUPP || rc === -sys.EPERM || rc === -sys.EINVAL) {
      this.#leaveOut(`xattrs ${shown(attribute)} could not be set (${sys.errnoName(rc)})`);
    } else check(rc, `set ${shown(attribute)} of`, path);
  }

  /** Completes directories, deepest first; each is looked up again and must still be a directory. */
  #finish(): void {
    const all = [...this.#later.values()].sort((a, b) => (a.path < b.path ? 1 : -1));
    for (const { path, mtime, defaultAcl } of all) {
      const parts = path === '.' ? [] : path.split('/');
      const name = parts.pop() ?? '.';
      const dirfd = this.#openDir(parts);
      if (defaultAcl !== null) this.#setXattr({ dirfd, name, path }, DEFAULT_ACL, defaultAcl);
      check(sys.utimensat(dirfd, name, mtime, mtime), 'change the time of', path);
    }
  }
}

function isDeviceNumber(number: number): boolean {
  return Number.isInteger(number) && number >= 0 && number <= 0xffffffff;
}

function laterOf(path: string, header: TarHeader): Later {
  const acl = header.pax?.[`SCHILY.xattr.${DEFAULT_ACL}`];
  return { path, mtime: mtimeOf(header), defaultAcl: acl === undefined ? null : Buffer.from(acl, 'latin1') };
}

function idOf(pax: string | undefined, header: number): number {
  const id = pax === undefined ? header : Number(pax);
  // The last id means "keep" and is nobody's.
  if (!Number.isInteger(id) || id < 0 || id >= sys.KEEP_ID)
    throw new UserError('the archive is refused: an owner is no number that can be one.');
  return id;
}

function mtimeOf(header: TarHeader): sys.Timespec {
  const given = header.pax?.['mtime'];
  const precise = given === undefined ? null : parsePaxTime(given);
  const sec = Math.floor(header.mtime.getTime() / 1000);
  if (Number.isNaN(sec)) throw new UserError('the archive is refused: a time is no number that can be one.');
  // tar-stream reads the two's complement of GNU's negative times as one's complement.
  return precise ?? { sec: sec < 0 ? sec - 1 : sec, nsec: 0 };
}

/** The libraries' errors about a broken archive, as a UserError; other errors unchanged. */
export function explained(error: unknown): unknown {
  if (!(error instanceof Error) || error.name === 'UserError') return error;
  if ('errno' in error && typeof error.errno === 'number' && 'syscall' in error)
    return new UserError(`the archive can't be read: ${reasonOf(error.errno)}.`);
  const code = 'code' in error ? String(error.code) : '';
  if (
    /tar|header|pax|end of data|zlib|zstd|incorrect|invalid|unexpected|aborted|premature|destroyed/i.test(
      `${error.message} ${code}`,
    )
  ) {
    return new UserError(`the archive is broken: ${error.message.replace(/[.?]+$/, '')}.`);
  }
  return error;
}
