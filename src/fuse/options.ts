/** What a server is told, and the defaults. */
import type { Log } from '../vfs/log.js';
import type { DataMode } from '../vfs/types.js';
import { MAX_DATA, PAGE_SIZE } from './abi.js';
import { Ttl, type Validity } from './reply.js';

/** What a server is told. */
export interface ServerOptions {
  readonly log: Log;
  readonly dataMode: DataMode;
  /** Largest WRITE in bytes, up to 1 MiB (the default). */
  readonly maxWrite?: number;
  /** POSIX ACLs, checked by the kernel. Default true. */
  readonly acl?: boolean;
  /** Extended attributes. Default true; false answers "never ask again". */
  readonly xattrs?: boolean;
  /** Answer STATX, the only way to a birth time. Default false: "never ask again", and no request for a known file. */
  readonly btime?: boolean;
  /** Shown in the log only: a filesystem without an upper says EROFS itself. */
  readonly readOnly?: boolean;
  /** Seconds for which names, attributes and absent names are valid in the kernel. Default: for ever. */
  readonly entryTtl?: number;
  readonly attrTtl?: number;
  readonly negativeTtl?: number;
  /** Registers a backing file; returns its id or -errno. Without it there is no passthrough. */
  readonly onBackingOpen?: (fd: number) => number;
  /** Gives a backing id back. */
  readonly onBackingClose?: (id: number) => void;
  /** Takes one line per request and one per reply. */
  readonly trace?: (line: string) => void;
  /** Milliseconds on a clock that only goes forward; for the trace. */
  readonly clock?: () => number;
}

/** {@link ServerOptions} with nothing missing. */
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

/** What {@link ServerOptions} come to: the only place that knows the defaults. */
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
