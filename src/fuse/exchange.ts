/** What the handlers of the op table work with: one request, its reply, the filesystem, and reusable objects. */
import type { Timespec } from '../sys/timespec.js';
import type { FileSystem } from '../vfs/filesystem.js';
import { Attr, Entry, type Fh, FsStat, NO_FH, type NodeId, OpenReply, SetAttr } from '../vfs/types.js';
import { MAX_DATA } from './abi.js';
import { Dirents } from './dirents.js';
import { type Negotiated, NOTHING } from './init.js';
import { IoModes } from './io-modes.js';
import { type ServerOptions, type Settings, settings } from './options.js';
import { Reply } from './reply.js';
import { Request } from './request.js';

/** A row of the op table: everything that this server knows about an opcode. */
export interface OpRow {
  readonly code: number;
  readonly name: string;
  /** Minimum size of the arguments in bytes. */
  readonly args: number;
  /**
   * Decodes the arguments, calls the filesystem, encodes the answer. Returns the size of the reply's body in bytes, or
   * -errno. Throws what the filesystem throws.
   */
  readonly handle: (x: Exchange) => number;
  /** False: the kernel expects no reply. */
  readonly replies?: false;
  /** What a successful reply gives to the kernel. */
  readonly grants?: Grant;
  /** Arguments for the trace. */
  readonly show?: (r: Request) => string;
}

/** Something that the kernel owns once it has the reply: a lookup count, an open handle. */
export interface Grant {
  /** Takes it back if the reply could not be delivered. */
  readonly undo: (x: Exchange) => void;
  /** Names it in the trace. */
  readonly show: (x: Exchange) => string;
}

/** The state of one server. Everything in it is reused from request to request, so that hot paths do not allocate. */
export class Exchange {
  readonly fs: FileSystem;
  readonly settings: Settings;
  readonly request = new Request();
  readonly reply: Reply;
  /** What the kernel and this server agreed on; {@link NOTHING} before INIT. */
  negotiated: Negotiated = NOTHING;

  readonly entry = new Entry();
  readonly attr = new Attr();
  readonly stat = new FsStat();
  readonly set = new SetAttr();
  readonly atime: Timespec = { sec: 0, nsec: 0 };
  readonly mtime: Timespec = { sec: 0, nsec: 0 };
  readonly open = new OpenReply();
  readonly create = { flags: 0, mode: 0 };
  readonly from = { node: 0 as NodeId, fh: NO_FH, offset: 0 };
  readonly to = { node: 0 as NodeId, fh: NO_FH, offset: 0 };
  readonly dirents: Dirents;
  /** Null when the session can't register backing files. */
  readonly ioModes: IoModes | null;

  constructor(fs: FileSystem, options: ServerOptions) {
    this.fs = fs;
    this.settings = settings(options);
    this.reply = new Reply(MAX_DATA, this.settings.validity);
    this.dirents = new Dirents(fs, this.reply);
    const { onBackingOpen, onBackingClose } = options;
    this.ioModes =
      onBackingOpen === undefined
        ? null
        : new IoModes({ onBackingOpen, onBackingClose: onBackingClose ?? (() => {}) }, options.log);
  }

  /** The reusable {@link OpenReply}, reset. */
  freshOpen(): OpenReply {
    const { open } = this;
    open.fh = NO_FH;
    open.keepCache = true;
    open.backingFd = -1;
    return open;
  }

  /** The kernel has closed the handle `fh`. */
  release(node: NodeId, fh: Fh): void {
    this.ioModes?.release(node, fh);
    this.fs.release(node, fh);
  }
}
