/** `plyfs import`: OCI and Docker layers and images as layer directories. */
import { randomBytes } from 'node:crypto';
import { createReadStream, statSync } from 'node:fs';
import { mkdir, rename, rmdir, writeFile } from 'node:fs/promises';
import type { Readable } from 'node:stream';
import { escapeValue } from '../../overlay/option-text.js';
import { UserError } from '../../overlay/user-error.js';
import * as sys from '../../sys/index.js';
import { plainDirectory, splitPath } from '../build.js';
import { check, type PathLike, pathBytes, quoted, shown } from '../text.js';
import { openTop, removeTree } from '../tree.js';
import { absolute, usesUserXattrs } from '../view.js';
import { type Blobs, DirectoryBlobs, firstBytes, isImage, TarBlobs } from './blobs.js';
import { compressionOf, Digester, decompressor } from './compression.js';
import { type ImageLayer, readImage } from './image.js';
import { explained, Unpacker, type UnpackOptions, type UnpackResult } from './unpack.js';

export interface ImportOptions {
  /** A layer's tar, an image's tar (docker save, OCI archive) or an OCI layout directory. */
  readonly source: PathLike;
  /** A new directory for a layer; for an image, a store that is shared between images. */
  readonly directory: PathLike;
  /** The image of a source that has several. */
  readonly tag?: string | null | undefined;
  /** Take the source for a layer, whatever is in it. */
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

export interface ImportProgress {
  readonly layers: number;
  readonly layersDone: number;
  readonly entries: number;
}

/** A layer that is there now. */
export interface ImportedLayer extends UnpackResult {
  readonly directory: string;
  readonly digest: string | null;
  readonly diffId: string;
  /** It was there before. */
  readonly reused: boolean;
}

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

/** Unpacks one stream into the open directory `top`, and tells its digests. */
async function unpack(
  source: Readable,
  start: Buffer,
  top: number,
  options: ImportOptions & UnpackOptions,
): Promise<UnpackResult & { digest: string; diffId: string }> {
  const packed = new Digester();
  const plain = new Digester(options.maxBytes ?? MAX_BYTES);
  const inflate = decompressor(compressionOf(start));
  const steps = inflate === null ? [packed, plain] : [packed, inflate, plain];
  let from: Readable = source;
  for (const step of steps) {
    from.on('error', (error) => step.destroy(error));
    from = from.pipe(step);
  }
  try {
    const result = await new Unpacker(top, options).run(plain);
    // The tar may end before its file does: the digest is of all of it.
    for await (const _ of plain);
    return { ...result, digest: packed.digest(), diffId: plain.digest() };
  } catch (error) {
    throw explained(error);
  } finally {
    source.destroy();
    for (const step of steps) step.destroy();
  }
}

function verify(what: string, expected: string | null | undefined, actual: string): void {
  if (expected === null || expected === undefined || expected === actual) return;
  throw new UserError(`the layer is refused: its ${what} is ${actual}, not ${expected}.`);
}

/** Makes `name` in the open directory `parent` by `fill`, so that it is there only when it is whole. */
async function buildAside<T>(parent: number, name: string, fill: (top: number) => Promise<T>): Promise<T> {
  const temporary = `.plyfs-${randomBytes(6).toString('hex')}.tmp`;
  check(sys.mkdirat(parent, temporary, 0o755), 'create', temporary);
  const top = sys.openat(parent, temporary, sys.O_RDONLY | sys.O_DIRECTORY | sys.O_NOFOLLOW | sys.O_CLOEXEC);
  try {
    check(top, 'open', temporary);
    plainDirectory(top, temporary);
    const result = await fill(top);
    // commit point; a directory that is there and empty is taken
    check(sys.renameat2(parent, temporary, parent, name), 'create', name);
    return result;
  } catch (error) {
    removeTree(parent, temporary);
    throw error;
  } finally {
    if (top >= 0) sys.close(top);
  }
}

async function importLayer(
  options: ImportOptions,
  source: string,
  unpacking: UnpackOptions,
): Promise<ImportResult> {
  const directory = absolute(options.directory);
  const [parentPath, name] = splitPath(directory);
  const bytes = Buffer.from(source, 'latin1');
  const parent = openTop(Buffer.from(parentPath, 'latin1'), 'directory');
  try {
    const found = new sys.Stat();
    if (sys.statx(parent, name, found) === 0) await emptyOrRefuse(directory);
    const onEntry = (entries: number): void => options.onProgress?.({ layers: 1, layersDone: 0, entries });
    const result = await buildAside(parent, name, async (top) => {
      const unpacked = await unpack(createReadStream(bytes), await firstBytes(bytes), top, {
        ...options,
        ...unpacking,
        onEntry,
      });
      verify('digest', options.digest, unpacked.digest);
      verify('diffID', options.diffId, unpacked.diffId);
      return unpacked;
    });
    const layer = { ...result, directory: shown(directory), reused: false };
    return { kind: 'layer', name: null, layers: [layer], lowerdir: shown(escapeValue(directory)) };
  } finally {
    sys.close(parent);
  }
}

/** A directory that is there may be used when it is empty. */
async function emptyOrRefuse(directory: string): Promise<void> {
  try {
    await rmdir(Buffer.from(directory, 'latin1'));
  } catch {
    throw new UserError(
      `'${quoted(directory)}' is there and not empty; a layer needs a directory of its own.`,
    );
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

  static async open(path: string): Promise<Store> {
    const layers = Buffer.from(`${path}/layers/sha256`, 'latin1');
    await mkdir(layers, { recursive: true });
    await mkdir(Buffer.from(`${path}/images`, 'latin1'), { recursive: true });
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
    const result = await buildAside(this.#layers, hexOf(diffId), async (top) => {
      const start: Buffer[] = [];
      for await (const chunk of blobs.open(layer.path)) {
        start.push(chunk as Buffer);
        break;
      }
      const unpacked = await unpack(blobs.open(layer.path), Buffer.concat(start), top, options);
      verify('digest', digest, unpacked.digest);
      verify('diffID', diffId, unpacked.diffId);
      return unpacked;
    });
    return { ...result, digest: digest ?? result.digest, directory, reused: false };
  }

  /** Notes an image: its configuration and its layers, topmost first. */
  async note(name: string, id: string, config: Buffer, layers: readonly string[]): Promise<void> {
    const path = `${this.#path}/images/${hexOf(id)}.json`;
    const temporary = Buffer.from(`${path}.${process.pid}.tmp`, 'latin1');
    const note = { name, id, layers, config: JSON.parse(config.toString('utf8')) as unknown };
    await writeFile(temporary, `${JSON.stringify(note, null, 2)}\n`);
    await rename(temporary, Buffer.from(path, 'latin1'));
  }

  close(): void {
    sys.close(this.#layers);
  }
}

function hexOf(digest: string): string {
  return digest.slice('sha256:'.length);
}

/** Runs `work` on all of `items`, a few at a time. After a failure nothing further is begun. */
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
  const store = await Store.open(absolute(options.directory));
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
    await store.note(
      image.name,
      image.id,
      image.config,
      layers.map(({ diffId }) => diffId),
    );
    const lowerdir = unique.map(({ diffId }) => shown(escapeValue(store.directory(diffId)))).join(':');
    return { kind: 'image', name: shown(Buffer.from(image.name).latin1Slice()), layers, lowerdir };
  } finally {
    store.close();
  }
}

/** Imports a layer or an image. Throws a UserError; then nothing half is left. */
export async function importLayers(options: ImportOptions): Promise<ImportResult> {
  const source = pathBytes(options.source);
  const bytes = Buffer.from(source, 'latin1');
  const stat = statSync(bytes, { throwIfNoEntry: false });
  if (stat === undefined) throw new UserError(`'${quoted(source)}' does not exist.`);
  const userxattr = usesUserXattrs({ lower: [], userxattr: options.userxattr });
  const unpacking = { userxattr, devices: options.devices, maxEntries: options.maxEntries };
  const scratch = splitPath(pathBytes(options.directory))[0];
  if (options.isLayer === true) return await importLayer(options, source, unpacking);
  using blobs = stat.isDirectory()
    ? new DirectoryBlobs(source)
    : await TarBlobs.open(source, scratch, options.maxBytes ?? MAX_BYTES);
  if (isImage(blobs)) return await importImage(options, blobs, unpacking);
  if (stat.isDirectory()) throw new UserError(`'${quoted(source)}' is no OCI layout: it has no index.json.`);
  return await importLayer(options, source, unpacking);
}
