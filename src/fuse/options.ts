/** The options of a server, and their defaults. */
import type { Log } from '../vfs/log.js';
import type { DataMode } from '../vfs/types.js';
import { MAX_DATA, PAGE_SIZE } from './abi.js';
import { Ttl, type Validity } from './reply.js';

/** Options of a {@link Server}. */
export interface ServerOptions {
  readonly log: Log;
  readonly dataMode: DataMode;
  /** Largest WRITE in bytes, up to 1 MiB (the default). */
  readonly maxWrite?: number;
  /** POSIX ACLs, checked by the kernel. Default true. */
  readonly acl?: boolean;
  /** Extended attributes. Default true; false answers "never ask again". */
  readonly xattrs?: boolean;
  /** Answer STATX, the only source of birth times. Default false: "never ask again", so known files cost no request. */
  readonly btime?: boolean;
  /** For the log only: a filesystem without an upper answers EROFS by itself. */
  readonly readOnly?: boolean;
  /** Seconds for which the kernel may cache names, attributes and absent names. Default: for ever. */
  readonly entryTtl?: number;
  readonly attrTtl?: number;
  readonly negativeTtl?: number;
  /** Registers a backing file; returns its id or -errno. Without it there is no passthrough. */
  readonly onBackingOpen?: (fd: number) => number;
  /** Gives a backing id back. */
  readonly onBackingClose?: (id: number) => void;
  /** Takes one line per request and one per reply. */
  readonly trace?: (line: string) => void;
  /** A monotonic clock in milliseconds, for the trace. */
  readonly clock?: () => number;
}

/** {@link ServerOptions} with all defaults filled in. */
export interface Settings {
  readonly log: Log;
  readonly passthrough: boolean;
  /** Backing files can be registered. */
  readonly backing: boolean;
  readonly maxWrite: number;
  readonly acl: boolean;
  readonly xattrs: boolean;
  readonly btime: boolean;
  readonly readOnly: boolean;
  readonly validity: Validity;
}

/** Fills in the defaults of {@link ServerOptions}; nothing else knows them. */
export function settings(o: ServerOptions): Settings {
  const maxWrite = Math.min(Math.max(o.maxWrite ?? MAX_DATA, PAGE_SIZE), MAX_DATA);
  return {
    log: o.log,
    passthrough: o.dataMode === 'passthrough',
    backing: o.onBackingOpen !== undefined,
    maxWrite: maxWrite - (maxWrite % PAGE_SIZE),
    acl: o.acl ?? true,
    xattrs: o.xattrs ?? true,
    btime: o.btime ?? false,
    readOnly: o.readOnly ?? false,
    validity: {
      entry: new Ttl(o.entryTtl ?? Number.POSITIVE_INFINITY),
      attr: new Ttl(o.attrTtl ?? Number.POSITIVE_INFINITY),
      negative: new Ttl(o.negativeTtl ?? Number.POSITIVE_INFINITY),
    },
  };
}
