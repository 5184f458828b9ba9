/** `plyfs import`: OCI and Docker layers and images as layer directories. */
import { createReadStream, mkdirSync, renameSync, statSync, writeFileSync } from 'node:fs';
import { pipeline, type Readable } from 'node:stream';
import { escapeValue } from '../../overlay/option-text.js';
import { UserError } from '../../overlay/user-error.js';
import * as sys from '../../sys/index.js';
import { Aside, openPlace, splitPath } from '../build.js';
import { type PathLike, pathBytes, quoted, shown, tried } from '../text.js';
import { openTop } from '../tree.js';
import { absolute, usesUserXattrs } from '../view.js';
import { type Blobs, DirectoryBlobs, firstBytes, isImage, TarBlobs } from './blobs.js';
import { compressionOf, Digester, decompressor } from './compression.js';
import { type ImageLayer, readImage } from './image.js';
import { explained, Unpacker, type UnpackOptions, type UnpackResult } from './unpack.js';

/** What to import, where to, and what to refuse. */
export interface ImportOptions {
  /** A layer's tar, an image's tar (docker save, OCI archive) or an OCI layout directory. */
  readonly source: PathLike;
  /** A new directory for a layer; for an image, a store that is shared between images. */
  readonly directory: PathLike;
  /** The image of a source that has several. */
  readonly tag?: string | null | undefined;
  /** Treat the source as a layer, whatever is in it. */
  readonly isLayer?: boolean | undefined;
  /** A layer must have these digests. */
  readonly digest?: string | undefined;
  readonly diffId?: string | undefined;
  readonly userxattr?: boolean | undefined;
  readonly devices?: boolean | undefined;
  /** Bytes and entries that one layer may unpack to. */
  readonly maxBytes?: number | undefined;
  readonly maxEntries?: number | undefined;
  readonly onProgress?: ((done: ImportProgress) => void) | undefined;
}

/** Progress of an import. */
export interface ImportProgress {
  readonly layers: number;
  readonly layersDone: number;
  readonly entries: number;
}

/** An imported layer. */
export interface ImportedLayer extends UnpackResult {
  readonly directory: string;
  readonly digest: string | null;
  readonly diffId: string;
  /** It existed already. */
  readonly reused: boolean;
}

/** What was imported. */
export interface ImportResult {
  readonly kind: 'layer' | 'image';
  /** The image's name; null for a layer. */
  readonly name: string | null;
  /** Topmost first, as they are mounted. */
  readonly layers: readonly ImportedLayer[];
  /** The value of `lowerdir=`. */
  readonly lowerdir: string;
}

const MAX_BYTES = 64 * 2 ** 30;
const PARALLEL = 4;

/** Unpacks one stream into the open directory `top`. Returns its digests. Throws a UserError. */
async function unpack(
  source: Readable,
  start: Buffer,
  top: number,
  options: ImportOptions & UnpackOptions,
): Promise<UnpackResult & { digest: string; diffId: string }> {
  const packed = new Digester();
  const plain = new Digester(options.maxBytes ?? MAX_BYTES);
  try {
    const inflate = decompressor(compressionOf(start));
    const steps = inflate === null ? [packed, plain] : [packed, inflate, plain];
    // A stream that ends early ends all of them; the error is emitted by the last one.
    pipeline([source, ...steps], () => {});
    const result = await new Unpacker(top, options).run(plain);
    // The tar may end before its file does: the digest is of all of it.
    for await (const _ of plain);
    return { ...result, digest: packed.digest(), diffId: plain.digest() };
  } catch (error) {
    throw explained(error);
  } finally {
    source.destroy();
    plain.destroy();
  }
}

function verify(what: string, expected: string | null | undefined, actual: string): void {
  if (expected === null || expected === undefined || expected === actual) return;
  throw new UserError(`the layer is refused: its ${what} is ${actual}, not ${expected}.`);
}

async function importLayer(
  options: ImportOptions,
  source: string,
  unpacking: UnpackOptions,
): Promise<ImportResult> {
  const directory = absolute(options.directory);
  const bytes = Buffer.from(source, 'latin1');
  const start = await firstBytes(bytes);
  const { parent, name } = openPlace(directory);
  try {
    using aside = new Aside(parent, directory);
    const onEntry = (entries: number): void => options.onProgress?.({ layers: 1, layersDone: 0, entries });
    const how = { ...options, ...unpacking, onEntry };
    const result = await unpack(createReadStream(bytes), start, aside.top, how);
    verify('digest', options.digest, result.digest);
    verify('diffID', options.diffId, result.diffId);
    aside.commit(name);
    const layer = { ...result, directory: shown(directory), reused: false };
    return { kind: 'layer', name: null, layers: [layer], lowerdir: shown(escapeValue(directory)) };
  } finally {
    sys.close(parent);
  }
}

/** A store of layers by digest, which images share. */
class Store {
  readonly #path: string;
  readonly #layers: number;

  private constructor(path: string, layers: number) {
    this.#path = path;
    this.#layers = layers;
  }

  static open(path: string): Store {
    const layers = Buffer.from(`${path}/layers/sha256`, 'latin1');
    tried('create the store', path, () => {
      mkdirSync(layers, { recursive: true });
      mkdirSync(Buffer.from(`${path}/images`, 'latin1'), { recursive: true });
    });
    return new Store(path, openTop(layers, 'store'));
  }

  directory(diffId: string): string {
    return `${this.#path}/layers/sha256/${hexOf(diffId)}`;
  }

  /** Unpacks a layer unless it is there. */
  async layer(
    blobs: Blobs,
    layer: ImageLayer,
    options: ImportOptions & UnpackOptions,
  ): Promise<ImportedLayer> {
    const { digest, diffId } = layer;
    const directory = shown(this.directory(diffId));
    const stat = new sys.Stat();
    if (sys.statx(this.#layers, hexOf(diffId), stat) === 0) {
      return { directory, digest, diffId, reused: true, entries: 0, bytes: 0, whiteouts: 0, warnings: [] };
    }
    using aside = new Aside(this.#layers, directory);
    const start: Buffer[] = [];
    for await (const chunk of blobs.open(layer.path)) {
      start.push(chunk as Buffer);
      break;
    }
    const result = await unpack(blobs.open(layer.path), Buffer.concat(start), aside.top, options);
    verify('digest', digest, result.digest);
    verify('diffID', diffId, result.diffId);
    aside.commit(hexOf(diffId));
    return { ...result, digest: digest ?? result.digest, directory, reused: false };
  }

  /** Notes an image: its configuration and its layers, topmost first. */
  note(name: string, id: string, config: Buffer, layers: readonly string[]): void {
    const path = `${this.#path}/images/${hexOf(id)}.json`;
    const temporary = Buffer.from(`${path}.${process.pid}.tmp`, 'latin1');
    const note = { name, id, layers, config: JSON.parse(config.toString('utf8')) as unknown };
    tried('write', path, () => {
      writeFileSync(temporary, `${JSON.stringify(note, null, 2)}\n`);
      renameSync(temporary, Buffer.from(path, 'latin1'));
    });
  }

  close(): void {
    sys.close(this.#layers);
  }
}

function hexOf(digest: string): string {
  return digest.slice('sha256:'.length);
}

/** Runs `work` on all of `items`, a few at a time. After a failure no further item is started. */
async function inParallel<T, R>(items: readonly T[], work: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = new Array(items.length) as R[];
  let next = 0;
  let failed = false;
  const worker = async (): Promise<void> => {
    while (next < items.length && !failed) {
      const at = next++;
      try {
        results[at] = await work(items[at]!);
      } catch (error) {
        failed = true;
        throw error;
      }
    }
  };
  const settled = await Promise.allSettled(Array.from({ length: Math.min(PARALLEL, items.length) }, worker));
  for (const one of settled) if (one.status === 'rejected') throw one.reason;
  return results;
}

async function importImage(
  options: ImportOptions,
  blobs: Blobs,
  unpacking: UnpackOptions,
): Promise<ImportResult> {
  const image = await readImage(blobs, options.tag ?? null);
  const store = Store.open(absolute(options.directory));
  try {
    // Of a layer that an image has twice, the upper one covers the lower.
    const unique = [...new Map(image.layers.toReversed().map((layer) => [layer.diffId, layer])).values()];
    let entries = 0;
    let layersDone = 0;
    const onEntry = (): void =>
      options.onProgress?.({ layers: unique.length, layersDone, entries: ++entries });
    const layers = await inParallel(unique, async (layer) => {
      const done = await store.layer(blobs, layer, { ...options, ...unpacking, onEntry });
      layersDone++;
      return done;
    });
    const ids = layers.map(({ diffId }) => diffId);
    store.note(image.name, image.id, image.config, ids);
    const lowerdir = unique.map(({ diffId }) => shown(escapeValue(store.directory(diffId)))).join(':');
    return { kind: 'image', name: shown(Buffer.from(image.name).latin1Slice()), layers, lowerdir };
  } finally {
    store.close();
  }
}

/** Imports a layer or an image. Throws a UserError, and leaves nothing incomplete then. */
export async function importLayers(options: ImportOptions): Promise<ImportResult> {
  const source = pathBytes(options.source);
  const bytes = Buffer.from(source, 'latin1');
  const isDirectory = tried('use', source, () => statSync(bytes).isDirectory());
  const userxattr = usesUserXattrs({ lower: [], userxattr: options.userxattr });
  const unpacking = { userxattr, devices: options.devices, maxEntries: options.maxEntries };
  const scratch = splitPath(pathBytes(options.directory))[0];
  if (options.isLayer === true) {
    if (isDirectory) throw new UserError(`'${quoted(source)}' is a directory; a layer is a tar.`);
    return await importLayer(options, source, unpacking);
  }
  using blobs = isDirectory
    ? new DirectoryBlobs(source)
    : await TarBlobs.open(source, scratch, options.maxBytes ?? MAX_BYTES);
  if (isImage(blobs)) return await importImage(options, blobs, unpacking);
  if (isDirectory) throw new UserError(`'${quoted(source)}' is no OCI layout: it has no index.json.`);
  return await importLayer(options, source, unpacking);
}
