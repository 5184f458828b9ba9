/** The documents of an image, which list its layers, bottom first. Their content is untrusted. */
import { createHash } from 'node:crypto';
import { UserError } from '../../overlay/user-error.js';
import { quoted } from '../text.js';
import { type Blobs, readBlob } from './blobs.js';

/** A layer as an image names it. */
export interface ImageLayer {
  /** Where it is in the image. */
  readonly path: string;
  /** Digest of the blob as stored; null where none is given (docker save). */
  readonly digest: string | null;
  /** Digest of the tar before compression. */
  readonly diffId: string;
}

/** An image: its name, its configuration and its layers. */
export interface Image {
  readonly name: string;
  /** Digest of the configuration, which stands for the image. */
  readonly id: string;
  /** The configuration as the image has it. */
  readonly config: Buffer;
  /** Bottom first. */
  readonly layers: readonly ImageLayer[];
}

type Json = Readonly<Record<string, unknown>>;

const DIGEST = /^sha256:[0-9a-f]{64}$/;

function broken(what: string): UserError {
  return new UserError(`the image is broken: ${what}.`);
}

function parse(data: Buffer, what: string): unknown {
  try {
    return JSON.parse(data.toString('utf8'));
  } catch {
    throw broken(`${what} is no JSON`);
  }
}

function object(value: unknown, what: string): Json {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw broken(`${what} is no object`);
  return value as Json;
}

function list(value: unknown, what: string): readonly unknown[] {
  if (!Array.isArray(value)) throw broken(`${what} is no list`);
  return value;
}

function digestOf(value: unknown, what: string): string {
  if (typeof value !== 'string' || !DIGEST.test(value)) throw broken(`${what} is no sha256 digest`);
  return value;
}

function blobPath(digest: string): string {
  return `blobs/sha256/${digest.slice('sha256:'.length)}`;
}

function sha256(data: Buffer): string {
  return `sha256:${createHash('sha256').update(data).digest('hex')}`;
}

/** Reads a document and verifies its digest. Throws a UserError. */
async function verified(blobs: Blobs, digest: string): Promise<Buffer> {
  const data = await readBlob(blobs, blobPath(digest));
  if (sha256(data) !== digest) throw broken(`a document does not have the digest ${digest}`);
  return data;
}

function diffIds(config: Buffer): string[] {
  const rootfs = object(object(parse(config, 'its configuration'), 'its configuration')['rootfs'], 'rootfs');
  return list(rootfs['diff_ids'], 'diff_ids').map((one) => digestOf(one, 'a diff_id'));
}

/** Reads an image. `tag` chooses among several; null: there must be only one. */
export async function readImage(blobs: Blobs, tag: string | null): Promise<Image> {
  return blobs.has('index.json') && blobs.has('oci-layout')
    ? await readOci(blobs, tag)
    : await readDocker(blobs, tag);
}

const REF = 'org.opencontainers.image.ref.name';

function choose<T>(all: readonly T[], names: (one: T) => readonly string[], tag: string | null): T {
  const found = tag === null ? all : all.filter((one) => names(one).includes(tag));
  if (found.length === 1) return found[0]!;
  const texts = all.flatMap(names).map((name) => quoted(Buffer.from(name).latin1Slice()));
  const known = texts.join(', ') || 'none';
  if (tag !== null && found.length === 0)
    throw new UserError(`the image has no tag '${tag}'; it has: ${known}.`);
  throw new UserError(
    `there are ${found.length} images; choose one by ':TAG' behind the path. Tags: ${known}.`,
  );
}

/** Node's names of machines as images have them. */
const ARCHITECTURES: Readonly<Record<string, string>> = {
  x64: 'amd64',
  arm64: 'arm64',
  arm: 'arm',
  ia32: '386',
};

function isForHere(manifest: Json): boolean {
  const platform = manifest['platform'];
  if (platform === undefined) return true;
  const { os, architecture } = object(platform, 'platform') as { os?: string; architecture?: string };
  return os === 'linux' && architecture === ARCHITECTURES[process.arch];
}

async function readOci(blobs: Blobs, tag: string | null): Promise<Image> {
  const index = object(parse(await readBlob(blobs, 'index.json'), 'index.json'), 'index.json');
  const entries = list(index['manifests'], 'manifests').map((one) => object(one, 'a manifest'));
  const names = (one: Json): string[] => {
    const annotations = one['annotations'];
    const name = annotations === undefined ? undefined : object(annotations, 'annotations')[REF];
    return typeof name === 'string' ? [name] : [];
  };
  const chosen = choose(entries, names, tag);
  let manifest = object(
    parse(await verified(blobs, digestOf(chosen['digest'], 'a digest')), 'a manifest'),
    'a manifest',
  );
  if (manifest['manifests'] !== undefined) {
    const here = list(manifest['manifests'], 'manifests')
      .map((one) => object(one, 'a manifest'))
      .filter(isForHere);
    if (here.length === 0) throw new UserError('the image has nothing for this machine.');
    manifest = object(
      parse(await verified(blobs, digestOf(here[0]!['digest'], 'a digest')), 'a manifest'),
      'a manifest',
    );
  }
  const id = digestOf(object(manifest['config'], 'config')['digest'], 'a digest');
  const config = await verified(blobs, id);
  const ids = diffIds(config);
  const layers = list(manifest['layers'], 'layers').map((one, i) => {
    const digest = digestOf(object(one, 'a layer')['digest'], 'a digest');
    return { path: blobPath(digest), digest, diffId: ids[i] ?? '' };
  });
  if (layers.length !== ids.length)
    throw broken('manifest and configuration name different numbers of layers');
  return { name: names(chosen)[0] ?? tag ?? id, id, config, layers };
}

async function readDocker(blobs: Blobs, tag: string | null): Promise<Image> {
  const document = parse(await readBlob(blobs, 'manifest.json'), 'manifest.json');
  if (!Array.isArray(document) && object(document, 'manifest.json')['schemaVersion'] === 2)
    throw new UserError(
      "a directory that skopeo wrote as 'dir:' is not read; copy the image with skopeo to 'oci:' first.",
    );
  const entries = list(document, 'manifest.json');
  const images = entries.map((one) => object(one, 'an image'));
  const names = (one: Json): string[] => (Array.isArray(one['RepoTags']) ? one['RepoTags'].map(String) : []);
  const wanted =
    tag === null ? null : images.flatMap(names).find((name) => name === tag || name.endsWith(`:${tag}`));
  const chosen = choose(images, names, wanted ?? tag);
  const path = chosen['Config'];
  if (typeof path !== 'string') throw broken('it has no configuration');
  const config = await readBlob(blobs, path);
  const ids = diffIds(config);
  const paths = list(chosen['Layers'], 'Layers').map(String);
  if (paths.length !== ids.length)
    throw broken('manifest and configuration name different numbers of layers');
  const id = sha256(config);
  const layers = paths.map((one, i) => ({ path: one, digest: null, diffId: ids[i]! }));
  return { name: names(chosen)[0] ?? id, id, config, layers };
}
