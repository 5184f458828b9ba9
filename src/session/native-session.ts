/** The process that serves a fuse-native mount, as the process that mounted sees it. */
import { type ChildProcess, fork } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { UserError } from '../overlay/user-error.js';
import * as sys from '../sys/index.js';
import { FLAG_WORDS } from './attach.js';
import { Counters, type Stats } from './counters.js';
import type { KernelOptions } from './mount-options.js';
import type { NativeMessage, NativeStart } from './native-protocol.js';
import type { MountPlan } from './plan.js';
import type { SessionEnd } from './protocol.js';
import { errorOf, type Refusal } from './refusal.js';
import { waiting } from './waiting.js';

const MAIN = fileURLToPath(new URL('./native-main.js', import.meta.url));
const STDERR = 2;
/** Where the serving process finds the log. */
const LOG_FD = 4;
/** Bytes kept of its stderr, where libfuse reports why a mount failed. */
const MAX_COMPLAINT = 4096;

/** The one limit of this transport (fuse-native/capabilities.ts) that programs run into without getting an error. */
const SILENT_LOSS =
  'libfuse 2.9 drops changes of atime or mtime alone: tar restores no times through fuse-native, cp -p does.';

/** Mount options in libfuse's words. What it can't do is refused, or a warning where it merely does less. Throws a UserError. */
function libfuseFlags(kernel: KernelOptions, isReadOnly: boolean, warnings: string[]): string[] {
  if (kernel.extra.length > 0) {
    throw new UserError('SELinux contexts need the transport kernel.');
  }
  if (kernel.data === 'passthrough') throw new UserError('data=passthrough needs the transport kernel.');
  const flags = isReadOnly ? kernel.flags | sys.MS_RDONLY : kernel.flags;
  const known = FLAG_WORDS.reduce((all, [flag]) => all | flag, 0);
  const isLost = (flags & ~known & ~(sys.MS_RELATIME | sys.MS_NODIRATIME | sys.MS_SILENT)) !== 0;
  if (isLost) warnings.push('some mount options are unknown to libfuse 2.9 and have no effect.');
  if (kernel.keepAwake === 'on') warnings.push('keep_awake=on has no effect through fuse-native.');
  return FLAG_WORDS.flatMap(([flag, word]) => ((flags & flag) !== 0 ? [word] : []));
}

/** The message that starts the serving process, and warnings for the user. */
export function nativeStart(
  plan: MountPlan,
  target: string,
): { readonly start: NativeStart; readonly warnings: string[] } {
  const { kernel, overlay } = plan;
  const warnings: string[] = [];
  if (overlay.upperdir !== null) warnings.push(SILENT_LOSS);
  const isReadOnly = overlay.readOnly || overlay.upperdir === null;
  const flags = libfuseFlags(kernel, isReadOnly, warnings);
  const allowOther = kernel.allowOther === true;
  if (allowOther) {
    warnings.push(
      `fuse-native does not say who asks: with allow_other, what anyone creates belongs to uid ${process.geteuid!()}.`,
    );
  }
  const log = { ...plan.log, fd: plan.log.fd < 0 ? -1 : LOG_FD };
  const source = kernel.source ?? 'plyfs';
  return {
    start: {
      target,
      overlay,
      source,
      allowOther,
      flags,
      maxRead: kernel.maxRead,
      log,
      trace: plan.trace,
    },
    warnings,
  };
}

/** One serving process. It ends with its mount, and the mount ends with it. */
export class NativeSession {
  readonly #child: ChildProcess;
  readonly #ready = waiting<readonly string[]>();
  readonly #closed = waiting<SessionEnd>();
  #stats: Stats = new Counters().read();
  #complaint = '';
  #end: SessionEnd | null = null;

  /** Starts the process, which inherits `logFd`; -1: none. */
  constructor(logFd: number) {
    this.#child = fork(MAIN, [], {
      detached: true,
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'pipe', 'ipc', logFd < 0 ? 'ignore' : logFd],
    });
    const isTerminal = logFd === STDERR;
    this.#child.stderr!.setEncoding('latin1').on('data', (text: string) => {
      this.#complaint = (this.#complaint + text).slice(0, MAX_COMPLAINT);
      if (isTerminal && this.#end === null) process.stderr.write(text, 'latin1');
    });
    this.#child.on('message', (message: NativeMessage) => this.#hear(message));
    this.#child.on('error', (error) => this.#over('failed', `can't start a process: ${error.message}.`));
    this.#child.on('close', (code, signal) => {
      this.#over('failed', `the serving process ended with ${signal ?? `code ${code}`}.`);
      this.#closed.resolve(this.#end!);
    });
  }

  /** Resolves to warnings when the mount answers; rejects when there is none. */
  get ready(): Promise<readonly string[]> {
    return this.#ready.promise;
  }

  /** Resolves when the serving process has ended. */
  get closed(): Promise<SessionEnd> {
    return this.#closed.promise;
  }

  start(message: NativeStart): void {
    this.#child.send(message);
  }

  /** Slightly out of date: the numbers arrive over a pipe. */
  stats(): Stats {
    return this.#stats;
  }

  #hear(message: NativeMessage): void {
    switch (message.kind) {
      case 'ready':
        this.#ready.resolve(message.warnings);
        break;
      case 'stats':
        this.#stats = message.stats;
        break;
      case 'refused':
        this.#refused(message);
        break;
      case 'ended':
        this.#over(message.end.reason, message.end.text);
        break;
    }
  }

  #refused({ text, isUserError }: Refusal): void {
    const said = this.#complaint.trim().split('\n')[0] ?? '';
    const sentence = said === '' ? text : `${text} (${said})`;
    this.#ready.reject(errorOf({ text: sentence, isUserError }));
    this.#over('failed', sentence);
  }

  #over(reason: SessionEnd['reason'], text: string): void {
    if (this.#end !== null) return;
    this.#end = { reason, text };
    this.#ready.reject(new UserError(text === '' ? 'the mount ended before it was ready.' : text));
  }
}
