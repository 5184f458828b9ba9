/** Reads a layer directory into a tar: whiteouts and opaque directories become `.wh.` names, as OCI layers have them. */
import type { Inode } from '../../overlay/inode.js';
import { overrideFormat, parseOverride } from '../../overlay/override-stat.js';
import { FOREIGN_OPAQUE, OwnXattrs } from '../../overlay/own-xattrs.js';
import { UserError } from '../../overlay/user-error.js';
import { WH_OPAQUE, WH_PREFIX, WH_RESERVED } from '../../overlay/whiteout.js';
import * as sys from '../../sys/index.js';
import { byBytes, check, quoted, shown } from '../text.js';
import { checkDepth, isWhiteoutAt, keepStat, listSorted, openSub, rawXattrs } from '../tree.js';
import type { View } from '../view.js';
import type { TarObject, TarWriter } from './tar-writer.js';
import { exportedName } from './xattrs.js';

/** What {@link LayerReader} reads. */
export interface ReaderOptions {
  /** Descriptor of the layer's root. */
  readonly top: number;
  readonly userxattr: boolean;
  readonly maxTime?: number | undefined;
  readonly onProgress?: ((entries: number) => void) | undefined;
}

const OPEN = sys.O_RDONLY | sys.O_NOFOLLOW | sys.O_CLOEXEC | sys.O_NONBLOCK;
const target = Buffer.alloc(sys.PATH_MAX);

/** An object to be written, wherever it is read from. */
interface Source {
  readonly path: string;
  readonly stat: sys.Stat;
  readonly xattrs: ReadonlyMap<string, Buffer>;
  readonly linkname: () => string;
  readonly open: () => number;
}

/** Goes through a layer, parents first and names in byte order, and passes all objects to a tar writer. */
export class LayerReader {
  readonly warnings: string[] = [];
  readonly #writer: TarWriter;
  readonly #view: View | null;
  readonly #options: ReaderOptions;
  readonly #own: OwnXattrs;
  /** The xattr in which this layer keeps owners; "" where it keeps them on the objects. */
  readonly #override: string;
  /** First name of each file that has several. */
  readonly #links = new Map<string, string>();

  constructor(writer: TarWriter, view: View | null, options: ReaderOptions) {
    this.#writer = writer;
    this.#view = view;
    this.#options = options;
    this.#own = new OwnXattrs(options.userxattr);
    this.#override = overrideFormat(options.top) ?? '';
  }

  async run(): Promise<void> {
    const { top } = this.#options;
    const stat = new sys.Stat();
    check(sys.fstatx(top, stat), 'read', '.');
    const xattrs = rawXattrs(top, '');
    await this.#write({ path: './', stat, xattrs, linkname: () => '', open: () => -1 });
    if (this.#isOpaque(xattrs)) await this.#empty(WH_OPAQUE);
    await this.#directory(top, '', this.#view?.root ?? null);
  }

  #isOpaque(xattrs: ReadonlyMap<string, Buffer>): boolean {
    return [this.#own.opaque, FOREIGN_OPAQUE].some((name) => xattrs.get(name)?.latin1Slice() === 'y');
  }

  /** The contents of a directory of the layer. `inode`: the same in the view, if there is one. */
  async #directory(dirfd: number, prefix: string, inode: Inode | null): Promise<void> {
    checkDepth(prefix);
    const names = listSorted(dirfd, prefix).map(({ name }) => name);
    for (const name of names) {
      if (name.startsWith(WH_PREFIX)) await this.#aufs(prefix, name);
      else await this.#entry(dirfd, prefix, name, inode);
    }
  }

  /** A layer may have whiteouts in this form already. */
  async #aufs(prefix: string, name: string): Promise<void> {
    if (name !== WH_OPAQUE && name.startsWith(WH_RESERVED)) return;
    await this.#empty(prefix + name);
  }

  async #entry(dirfd: number, prefix: string, name: string, parent: Inode | null): Promise<void> {
    const path = prefix + name;
    const stat = new sys.Stat();
    const rc = sys.statx(dirfd, name, stat);
    if (rc === -sys.ENOENT) return;
    check(rc, 'read', path);
    const xattrs = rawXattrs(dirfd, name);
    const type = stat.mode & sys.S_IFMT;
    if (isWhiteoutAt(dirfd, name, stat, this.#own)) return await this.#empty(`${prefix}${WH_PREFIX}${name}`);
    if (type === sys.S_IFSOCK)
      return void this.warnings.push(`the socket '${shown(path)}' can't be in a tar.`);
    const isDir = type === sys.S_IFDIR;
    if (isDir ? xattrs.has(this.#own.redirect) : xattrs.has(this.#own.metacopy)) {
      return await this.#fromView(parent, name, path);
    }
    const linkname = (): string => {
      const size = check(sys.readlinkat(dirfd, name, target), 'read', path);
      return target.latin1Slice(0, size);
    };
    const open = (): number => sys.openat(dirfd, name, OPEN);
    await this.#write({ path: isDir ? `${path}/` : path, stat, xattrs, linkname, open });
    if (isDir) await this.#subdirectory(dirfd, name, path, xattrs, parent);
  }

  async #subdirectory(
    dirfd: number,
    name: string,
    path: string,
    xattrs: ReadonlyMap<string, Buffer>,
    parent: Inode | null,
  ): Promise<void> {
    const fd = check(openSub(dirfd, name), 'open', path);
    const inode = parent === null ? null : (this.#view?.find(parent, name, path) ?? null);
    try {
      if (this.#isOpaque(xattrs)) {
        await this.#empty(`${path}/${WH_OPAQUE}`);
      }
      await this.#directory(fd, `${path}/`, inode);
    } finally {
      sys.close(fd);
      if (inode !== null) this.#view?.drop(inode);
    }
  }

  /** What has its data or its names on a layer below is written as callers see it. */
  async #fromView(parent: Inode | null, name: string, path: string): Promise<void> {
    const view = this.#view;
    if (view === null || parent === null) {
      throw new UserError(
        `'${quoted(path)}' has a part on a lower layer, by a redirect or a metacopy, which a tar can't express; name the lowers with --lower.`,
      );
    }
    const inode = view.find(parent, name, path);
    if (inode === null) return;
    await this.#visible(view, inode, path, true);
    view.drop(inode);
  }

  async #visible(view: View, inode: Inode, path: string, isTop: boolean): Promise<void> {
    const stat = keepStat(view.statOf(inode, path));
    if ((stat.mode & sys.S_IFMT) === sys.S_IFSOCK) return;
    const isDir = inode.dir !== null;
    await this.#write({
      path: isDir ? `${path}/` : path,
      stat,
      xattrs: view.xattrs(inode),
      linkname: () => view.target(inode, path),
      open: () => sys.dup(view.data(inode, path)),
    });
    if (!isDir) return;
    // Whatever a lower has at the new name is another directory.
    if (isTop) await this.#empty(`${path}/${WH_OPAQUE}`);
    for (const name of view.names(inode, path)) {
      const child = view.find(inode, name, `${path}/${name}`);
      if (child === null) continue;
      await this.#visible(view, child, `${path}/${name}`, false);
      view.drop(child);
    }
  }

  #mtime(stat: sys.Stat): sys.Timespec {
    const { maxTime } = this.#options;
    if (maxTime !== undefined && stat.mtime >= maxTime) return { sec: maxTime, nsec: 0 };
    return { sec: stat.mtime, nsec: stat.mtimeNsec };
  }

  /** An empty file that is a mark, with fixed owner and time, so that equal layers give equal tars. */
  async #empty(path: string): Promise<void> {
    await this.#writer.add(
      {
        path,
        mode: sys.S_IFREG,
        uid: 0,
        gid: 0,
        mtime: { sec: 0, nsec: 0 },
        size: 0,
        rdevMajor: 0,
        rdevMinor: 0,
        xattrs: new Map(),
        linkname: null,
      },
      null,
    );
  }

  async #write(source: Source): Promise<void> {
    const { path, stat } = source;
    const type = stat.mode & sys.S_IFMT;
    const object = this.#object(source, type === sys.S_IFLNK ? source.linkname() : null);
    this.#options.onProgress?.(this.#writer.entries);
    if (type !== sys.S_IFDIR && stat.nlink > 1) {
      const key = `${stat.devMajor}:${stat.devMinor}:${sys.inodeNumber(stat)}`;
      const first = this.#links.get(key);
      if (first !== undefined) {
        await this.#writer.add({ ...object, size: 0, xattrs: new Map(), linkname: first }, null, true);
        return;
      }
      this.#links.set(key, path);
    }
    if (type !== sys.S_IFREG || stat.size === 0) return await this.#writer.add({ ...object, size: 0 }, null);
    const fd = check(source.open(), 'open', path);
    try {
      await this.#writer.add(object, { fd, path });
    } finally {
      sys.close(fd);
    }
  }

  #object({ path, stat, xattrs }: Source, linkname: string | null): TarObject {
    const exported = new Map<string, Buffer>();
    for (const name of [...xattrs.keys()].sort(byBytes)) {
      const to = exportedName(name);
      if (to !== null) exported.set(to, xattrs.get(name)!);
    }
    const { uid, gid, mode } = ownership(stat, xattrs.get(this.#override));
    return {
      path,
      mode,
      uid,
      gid,
      mtime: this.#mtime(stat),
      size: stat.size,
      rdevMajor: stat.rdevMajor,
      rdevMinor: stat.rdevMinor,
      xattrs: exported,
      linkname,
    };
  }
}

/** Owner and mode: those in the xattr in which the layer keeps them, if it does, go before the file's own. */
function ownership(
  stat: sys.Stat,
  override: Buffer | undefined,
): { readonly uid: number; readonly gid: number; readonly mode: number } {
  const owner = override === undefined ? null : parseOverride(override.latin1Slice());
  if (owner === null || owner.device !== null) return stat;
  return { uid: owner.uid, gid: owner.gid, mode: (stat.mode & sys.S_IFMT) | owner.mode };
}
