/** `plyfs export`: a layer directory as an OCI layer. */
import type { Writable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import { UserError } from '../../overlay/user-error.js';
import * as sys from '../../sys/index.js';
import { splitPath } from '../build.js';
import { OutputFile, refuseInside } from '../output.js';
import { type PathLike, pathBytes, tried } from '../text.js';
import { openTop } from '../tree.js';
import { usesUserXattrs, View } from '../view.js';
import { type Compression, compressor, Digester } from './compression.js';
import { LayerReader } from './layer-reader.js';
import { TarWriter } from './tar-writer.js';

/** The layer to write, and how. */
export interface ExportOptions {
  /** The layer: usually an upper. */
  readonly layer: PathLike;
  /** Lowers, top first: needed where the layer has renamed directories or metacopies, which a tar can't express. */
  readonly lower?: readonly PathLike[];
  /** A file, which appears only when it is complete; or a stream. */
  readonly output: PathLike | Writable;
  readonly compression?: Compression;
  readonly userxattr?: boolean | undefined;
  /** Later times are set to this (seconds since 1970), for reproducible builds. */
  readonly maxTime?: number | undefined;
  readonly onProgress?: (entries: number) => void;
}

/** What was written, in the terms of an image manifest. Sizes are in bytes. */
export interface ExportResult {
  readonly mediaType: string;
  /** Of the file as written. */
  readonly digest: string;
  readonly size: number;
  /** Of the tar before compression. */
  readonly diffId: string;
  readonly diffSize: number;
  readonly entries: number;
  /** What could not be put into a tar. */
  readonly warnings: readonly string[];
}

const MEDIA: Readonly<Record<Compression, string>> = {
  none: 'application/vnd.oci.image.layer.v1.tar',
  gzip: 'application/vnd.oci.image.layer.v1.tar+gzip',
  zstd: 'application/vnd.oci.image.layer.v1.tar+zstd',
};

async function send(
  writer: TarWriter,
  work: Promise<void>,
  to: Writable,
  kind: Compression,
): Promise<[Digester, Digester]> {
  const plain = new Digester();
  const packed = new Digester();
  const squeeze = compressor(kind);
  const steps = squeeze === null ? [plain, packed] : [plain, squeeze, packed];
  const failed = work.catch((error: Error) => {
    writer.stream.destroy(error);
    throw error;
  });
  await Promise.all([failed, pipeline([writer.stream, ...steps, to])]);
  return [plain, packed];
}

function refuseOutputInside(top: number, path: string): void {
  const parent = sys.openat(sys.AT_FDCWD, splitPath(path)[0], sys.O_PATH | sys.O_DIRECTORY | sys.O_CLOEXEC);
  // The code that opens the file reports the reason.
  if (parent < 0) return;
  try {
    refuseInside(parent, [top], path);
  } finally {
    sys.close(parent);
  }
}

/** Writes a layer as a tar. Throws a UserError, and leaves no output file then. */
export async function exportLayer(options: ExportOptions): Promise<ExportResult> {
  const { compression = 'gzip', output, lower = [] } = options;
  const userxattr = usesUserXattrs({ lower: [options.layer], userxattr: options.userxattr });
  const writer = new TarWriter();
  using view = lower.length === 0 ? null : View.open({ upper: options.layer, lower, userxattr });
  const top = openTop(options.layer, 'layer');
  const path = typeof output === 'string' || Buffer.isBuffer(output) ? pathBytes(output) : null;
  let file: OutputFile | null = null;
  try {
    if (path !== null) {
      file = new OutputFile(path);
      refuseOutputInside(top, file.target);
    }
    const reader = new LayerReader(writer, view, {
      top,
      userxattr,
      maxTime: options.maxTime,
      onProgress: options.onProgress,
    });
    const to = file === null ? (output as Writable) : file.stream();
    const work = reader.run().then(() => writer.finish());
    const [plain, packed] = await send(writer, work, to, compression);
    file?.commit();
    return {
      mediaType: MEDIA[compression],
      digest: packed.digest(),
      size: packed.bytes,
      diffId: plain.digest(),
      diffSize: plain.bytes,
      entries: writer.entries,
      warnings: reader.warnings,
    };
  } catch (error) {
    file?.discard();
    if (path === null && sys.isSystemError(error))
      throw new UserError(`can't write the tar: ${String(error.code)}.`);
    return tried('write', path ?? '', () => {
      throw error;
    });
  } finally {
    sys.close(top);
  }
}
