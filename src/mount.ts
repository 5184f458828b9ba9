/**
 * Mounting from the main thread: open the layers, make the mount, run the session thread, end it again.
 *
 *   check options -> open layers -> mount -> session starts -> INIT answered: ready
 *   ready -> unmount() or anyone's umount -> session ends -> closed
 *
 * Whatever fails on the way to "ready" leaves nothing mounted.
 */
import { availableParallelism } from 'node:os';
import type { OverlayOptions } from './overlay/config.js';
import { MAX_FDS } from './overlay/descriptor-budget.js';
import { closeLayers } from './overlay/layers.js';
import { escapeValue } from './overlay/option-text.js';
import { UserError } from './overlay/user-error.js';
import { checkAddressSpace } from './session/address-space.js';
import {
  type Attachment,
  attach,
  attachedAt,
  detach,
  raiseReadAhead,
  resolveMountpoint,
} from './session/attach.js';
import { CAUTION, cautiousFlags } from './session/caution.js';
import type { Control } from './session/control.js';
import type { Stats } from './session/counters.js';
import { openKeepAwake } from './session/keep-awake.js';
import { type LogTarget, NO_LOG } from './session/log.js';
import type { Transport } from './session/mount-options.js';
import { type MountPlan, planMount } from './session/plan.js';
import { setPropagation } from './session/propagation.js';
import type { MountSession, SessionEnd } from './session/protocol.js';
import { Session } from './session/session.js';
import * as sys from './sys/index.js';

export type { Stats } from './session/counters.js';
export type { LogLevel, LogTarget } from './session/log.js';
export type { Transport } from './session/mount-options.js';
export type { EndReason, SessionEnd } from './session/protocol.js';

/** The largest WRITE that we take: what the kernel sends at most. */
const MAX_WRITE = 1 << 20;

/** A mount that is alive. */
export interface Mount {
  /** Absolute path of the mount point. */
  readonly mountpoint: string;
  /** Sentences about options without effect and about what a layer's filesystem can't do. */
  readonly warnings: readonly string[];
  /** Resolves when the mount answers; it has, once `mount()` has resolved. */
  readonly ready: Promise<void>;
  /** Resolves when the mount has ended, whoever ended it. */
  readonly closed: Promise<SessionEnd>;
  /** Numbers since the start. */
  stats(): Stats;
  /** Unmounts and waits for the end. `lazy`: also when busy; it then ends with the last open file. */
  unmount(how?: { lazy?: boolean }): Promise<void>;
}

function attachPlan(plan: MountPlan, target: string, moreFlags: number): Promise<Attachment> {
  const { kernel, overlay } = plan;
  const readOnly = overlay.readOnly || overlay.upperdir === null;
  return attach({
    source: kernel.source ?? 'plyfs',
    target,
    flags: kernel.flags | moreFlags | (readOnly ? sys.MS_RDONLY : 0),
    allowOther: kernel.allowOther,
    defaultPermissions: kernel.defaultPermissions,
    maxRead: kernel.maxRead,
    extra: kernel.extra,
  });
}

/** Mounts by a checked plan and resolves when the mount answers. `session` was not started yet. */
export async function startMount(plan: MountPlan, session: MountSession): Promise<Mount> {
  checkAddressSpace();
  const mount = await startByTransport(plan, session);
  const { propagation } = plan.kernel;
  if (propagation === null) return mount;
  const warning = setPropagation(mount.target, propagation);
  if (warning !== null) mount.warnings.push(warning);
  return mount;
}

async function startByTransport(plan: MountPlan, session: MountSession): Promise<LiveMount> {
  if (plan.kernel.transport === 'kernel') return await startKernelMount(plan, session);
  await session.discard();
  return await startNativeMount(plan);
}

async function startKernelMount(plan: MountPlan, session: MountSession): Promise<LiveMount> {
  const target = resolveMountpoint(plan.mountpoint);
  const opened = plan.openLayers(plan.overlay);
  const warnings = [...plan.kernel.warnings, ...opened.warnings];
  const cautious = cautiousFlags(plan, opened.layers);
  if (cautious !== 0) warnings.push(CAUTION);
  const awakeFd = openKeepAwake(plan.kernel.keepAwake, (text) => warnings.push(text));
  // Both before the mount is there, which may cover what they read: /sys, /etc/localtime.
  const hasTwoCpus = availableParallelism() > 1;
  const startedAt = new Date().toISOString();
  const close = (): void => {
    if (awakeFd >= 0) sys.close(awakeFd);
    closeLayers(opened);
  };
  let attachment: Attachment;
  try {
    attachment = await attachPlan(plan, target, cautious);
  } catch (error) {
    close();
    throw error;
  }
  const mount = new LiveMount(attachment, session, { options: opened.options, startedAt }, () => {
    sys.close(attachment.fd);
    close();
  });
  void sys.reserveDescriptors(attachment.fd, MAX_FDS);
  mount.warnings.push(...warnings);
  session.start({
    fd: attachment.fd,
    options: opened.options,
    opened,
    dataMode: plan.kernel.data === 'passthrough' ? 'passthrough' : 'cached',
    btime: plan.kernel.btime,
    maxWrite: MAX_WRITE,
    awakeFd,
    hasTwoCpus,
    log: plan.log,
    trace: plan.trace,
  });
  try {
    await session.ready;
  } catch (error) {
    await mount.closed;
    throw error;
  }
  // Who waits for the mount is let go first.
  setImmediate(() => {
    void raiseReadAhead(attachment);
    mount.answer();
  });
  return mount;
}

/** The same through fuse-native, in a process of its own: see session/native-main.ts. */
async function startNativeMount(plan: MountPlan): Promise<LiveMount> {
  const { NativeSession, nativeStart } = await import('./session/native-session.js');
  const target = resolveMountpoint(plan.mountpoint);
  const { start, warnings } = nativeStart(plan, target);
  const session = new NativeSession(plan.log.fd);
  session.start(start);
  try {
    warnings.push(...(await session.ready));
  } catch (error) {
    await session.closed;
    const left = attachedAt(target);
    if (left !== null) await detach(left, true);
    throw error;
  }
  const attachment = attachedAt(target);
  if (attachment === null) throw new UserError('the mount ended before it was ready.');
  const mount = new LiveMount(
    attachment,
    session,
    { options: plan.overlay, startedAt: new Date().toISOString() },
    () => {},
  );
  mount.warnings.push(...plan.kernel.warnings, ...warnings);
  mount.answer();
  return mount;
}

/** What tools are told of a mount. */
interface MountFacts {
  /** Those in force. */
  readonly options: OverlayOptions;
  /** ISO 8601. */
  readonly startedAt: string;
}

/** What {@link LiveMount} needs of a session of either transport. */
interface SessionView {
  readonly ready: Promise<unknown>;
  readonly closed: Promise<SessionEnd>;
  stats(): Stats;
}

class LiveMount implements Mount {
  readonly mountpoint: string;
  /** The same as latin1. */
  readonly target: string;
  readonly warnings: string[] = [];
  readonly closed: Promise<SessionEnd>;
  readonly #attachment: Attachment;
  readonly #session: SessionView;
  readonly #facts: MountFacts;
  readonly #release: () => void;
  #control: Control | null = null;
  #answering: Promise<void> = Promise.resolve();
  #ended = false;

  /** `release` gives up what the mount was made of. */
  constructor(attachment: Attachment, session: SessionView, facts: MountFacts, release: () => void) {
    this.target = attachment.target;
    this.mountpoint = Buffer.from(attachment.target, 'latin1').toString('utf8');
    this.#attachment = attachment;
    this.#session = session;
    this.#facts = facts;
    this.#release = release;
    this.closed = session.closed.then((end) => this.#finish(end));
  }

  get ready(): Promise<void> {
    return this.#session.ready.then(() => {});
  }

  stats(): Stats {
    return this.#session.stats();
  }

  async unmount(how: { lazy?: boolean } = {}): Promise<void> {
    const lazy = how.lazy === true;
    // It may walk through the mount, which would be busy by that. Its failure is no reason to stay mounted.
    if (!lazy) await Promise.allSettled([this.#answering]);
    await detach(this.#attachment, lazy);
    if (!lazy) await this.closed;
  }

  /** Answers `plyfs stats` and its like from now on. Its code is loaded when the mount is there: nobody waits. */
  answer(): void {
    this.#answering = this.#openControl();
  }

  async #openControl(): Promise<void> {
    const { openControl } = await import('./session/control.js');
    const control = await openControl(this.#attachment.device, {
      mountpoint: this.#attachment.target,
      ...this.#facts,
      stats: () => this.stats(),
    });
    if (this.#ended) control?.close();
    else this.#control = control;
  }

  /** Without a server the mount would answer ENOTCONN for ever: take it away, then give up the connection. */
  async #finish(end: SessionEnd): Promise<SessionEnd> {
    if (end.reason !== 'unmounted') {
      try {
        await detach(this.#attachment, true);
      } catch (error) {
        if (!(error instanceof UserError)) throw error;
      }
    }
    this.#ended = true;
    this.#control?.close();
    this.#release();
    return end;
  }
}

/** What {@link mount} is asked for. Paths are ordinary strings. */
export interface MountOptions {
  /** An existing directory. */
  readonly mountpoint: string;
  /** Lower directories, topmost first. */
  readonly lower: readonly string[];
  /** Where changes go; without it the mount is read-only. */
  readonly upper?: string;
  /** A directory for our use, on the upper's filesystem. Needed with `upper`. */
  readonly work?: string;
  readonly readOnly?: boolean;
  /** How requests travel; default: `kernel`. */
  readonly transport?: Transport;
  /** First column of the mount table. */
  readonly source?: string;
  /** Further options as on the command line, e.g. `['nosuid,nodev', 'data=passthrough']`. */
  readonly options?: readonly string[];
  /** Where the log goes; default: nowhere. */
  readonly log?: LogTarget;
  /** One line per request in the log. */
  readonly trace?: boolean;
}

/** Strings are UTF-8 on disk; everything below this file has one char a byte. */
function bytesOf(text: string): string {
  return Buffer.from(text, 'utf8').toString('latin1');
}

/** A list of paths as an option value. */
function pathList(paths: readonly string[]): string {
  return paths.map((path) => escapeValue(bytesOf(path))).join(':');
}

function planFor(options: MountOptions): MountPlan {
  const words = [
    ...(options.lower.length > 0 ? [`lowerdir=${pathList(options.lower)}`] : []),
    ...(options.upper === undefined ? [] : [`upperdir=${pathList([options.upper])}`]),
    ...(options.work === undefined ? [] : [`workdir=${pathList([options.work])}`]),
    ...(options.readOnly === true ? ['ro'] : []),
    ...(options.transport === undefined ? [] : [`transport=${options.transport}`]),
    ...(options.options ?? []).map(bytesOf),
  ];
  return planMount(
    {
      options: words,
      source: options.source === undefined ? null : bytesOf(options.source),
      mountpoint: bytesOf(options.mountpoint),
      debug: options.trace === true,
    },
    options.log ?? NO_LOG,
  );
}

/** Messages from below carry paths as bytes. */
function readable(error: unknown): unknown {
  if (error instanceof UserError) error.message = Buffer.from(error.message, 'latin1').toString('utf8');
  return error;
}

/**
 * Mounts an overlay and resolves when it answers. Rejects with a {@link UserError} for what the caller can put right;
 * then nothing is mounted. This process must stay alive, and should not use the mount from its main thread by
 * synchronous calls: nothing would then serve a signal or an unmount.
 */
export async function mount(options: MountOptions): Promise<Mount> {
  const session = new Session(); // it loads its code while this thread opens layers and mounts
  try {
    return await startMount(planFor(options), session);
  } catch (error) {
    await session.discard();
    throw readable(error);
  }
}
