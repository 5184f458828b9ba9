/** The core over temporary directories, without a mount, for tests that make the kernel's requests themselves. */
import { fstatSync, lstatSync } from 'node:fs';
import { type TestContext, test } from 'node:test';
import type { OpenedLayers, OverlayOptions, OverlayServices } from '../../src/overlay/config.js';
import { createOverlay } from '../../src/overlay/overlay.js';
import * as sys from '../../src/sys/index.js';
import { Deferred, FsError } from '../../src/vfs/errors.js';
import type { FileSystem } from '../../src/vfs/filesystem.js';
import type { Job, Jobs } from '../../src/vfs/jobs.js';
import { Attr, Caller, type DirSink, Entry, NO_FH, type NodeId, ROOT_ID } from '../../src/vfs/types.js';
import { needsMounts, Place } from './layer-fixture.js';

/** Jobs that are done at once, so that a deferred request can be repeated right away. */
export class InstantJobs implements Jobs {
  resumed = 0;
  last = 0;
  /** The requested jobs. */
  readonly kinds: string[] = [];
  /** Inode numbers of the files to be flushed. */
  readonly flushed: number[] = [];
  readonly #results = new Map<number, number>();

  start(job: Job): number {
    const rc = job.kind === 'copy' ? sys.copyData(job.from, job.to, job.size) : sys.fsync(job.fd);
    this.kinds.push(job.kind);
    if (job.kind !== 'copy') this.flushed.push(fstatSync(job.fd).ino);
    this.#results.set(++this.last, Math.min(rc, 0));
    return this.last;
  }

  take(job: number): number | null {
    const rc = this.#results.get(job) ?? null;
    this.#results.delete(job);
    return rc;
  }
}

const log = { debug() {}, info() {}, warn() {}, error() {} };

/** Options of {@link Core} besides its layers. */
export interface CoreParts {
  /** Features that the upper's filesystem shall not appear to have. */
  readonly lacks?: readonly (keyof OpenedLayers['features'])[];
  readonly services?: Partial<OverlayServices>;
  /** The process may have only as many descriptors as a mount needs at least. */
  readonly fewDescriptors?: boolean;
}

/** An overlay of `lower` and `upper`, with the kernel's requests as readable methods. */
export class Core {
  readonly place: Place;
  readonly fs: FileSystem;
  readonly jobs = new InstantJobs();
  readonly caller = new Caller();
  readonly #opened: OpenedLayers;

  constructor(
    t: TestContext,
    fill: (place: Place) => void,
    options: Partial<OverlayOptions> = {},
    parts: CoreParts = {},
  ) {
    this.place = new Place(t);
    this.place.dirs('lower', 'upper', 'work');
    fill(this.place);
    const opened = this.place.open({
      lowerdir: [this.place.at('lower')],
      upperdir: this.place.at('upper'),
      workdir: this.place.at('work'),
      ...options,
    });
    this.#opened = opened;
    const features = { ...opened.features };
    for (const feature of parts.lacks ?? []) features[feature] = false;
    const notify = { attributes() {}, listing() {} };
    const services: OverlayServices = { jobs: this.jobs, notify, log, dataMode: 'cached', ...parts.services };
    const maxFds = parts.fewDescriptors === true ? opened.descriptors.length + 60 : undefined;
    this.fs = createOverlay({ ...opened, features }, services, maxFds);
    t.after(() => this.fs.destroy());
  }

  /** Called before the end of the test, after `fs.destroy()`. */
  closeLayers(): void {
    this.place.close(this.#opened);
  }

  /** Repeats a request until it is no longer deferred, as the session does. */
  ask<T>(request: () => T): T {
    for (;;) {
      try {
        return request();
      } catch (error) {
        if (!(error instanceof Deferred)) throw error;
        this.jobs.resumed = error.job;
      }
    }
  }

  /** Node of a path; null if it does not exist. Each step is a LOOKUP that is never forgotten. */
  node(path: string): NodeId | null {
    let at = ROOT_ID as NodeId;
    for (const name of path.split('/')) {
      const entry = new Entry();
      if (!this.fs.lookup(at, name, this.caller, entry)) return null;
      at = entry.node;
    }
    return at;
  }

  attr(node: NodeId): Attr {
    const attr = new Attr();
    this.fs.getattr(node, NO_FH, attr);
    return attr;
  }

  read(node: NodeId): string {
    const into = Buffer.alloc(1000);
    return into.latin1Slice(0, this.fs.read(node, NO_FH, 0, into, into.length));
  }

  write(node: NodeId, offset: number, text: string): void {
    const data = Buffer.from(text);
    this.ask(() => this.fs.write(node, NO_FH, offset, data, data.length, null));
  }

  make(parent: NodeId, name: string): NodeId {
    const entry = new Entry();
    this.fs.mknod(parent, name, sys.S_IFREG | 0o644, { major: 0, minor: 0 }, this.caller, entry);
    return entry.node;
  }

  /** Names from `offset` on, at most `room` of them, and the offset to continue from. */
  list(node: NodeId, offset = 0, room = 1000): { names: string[]; next: number } {
    const names: string[] = [];
    let next = offset;
    const sink: DirSink = {
      plus: false,
      fits: () => names.length < room,
      add(name, _lo, _hi, _type, after) {
        if (names.length >= room) return false;
        names.push(name);
        next = after;
        return true;
      },
      addPlus: () => false,
    };
    this.fs.readdir(node, NO_FH, offset, this.caller, sink);
    return { names, next };
  }
}

/** Makes a directory; its lookup count is 1. */
export function makeDirectory(core: Core, parent: NodeId, name: string): NodeId {
  const entry = new Entry();
  core.fs.mkdir(parent, name, 0o755, core.caller, entry);
  return entry.node;
}

/** Renames in the root. */
export function move(core: Core, from: string, to: string): void {
  core.fs.rename({ parent: ROOT_ID, name: from }, { parent: ROOT_ID, name: to }, 0);
}

/** Name of the errno with which `action` fails, or `ok`. */
export function errno(action: () => unknown): string {
  try {
    action();
  } catch (error) {
    if (error instanceof FsError) return sys.errnoName(error.errno);
    throw error;
  }
  return 'ok';
}

export function isWhiteout(path: string): boolean {
  const stat = lstatSync(path);
  return stat.isCharacterDevice() && stat.rdev === 0;
}

/** A test that is skipped where layers can't be opened as root does. */
export function it(name: string, body: (t: TestContext) => void): void {
  test(name, { skip: needsMounts }, (t) => body(t));
}
