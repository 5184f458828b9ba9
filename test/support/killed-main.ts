/**
 * Does one step on an overlay in which a given system call is fatal or fails: the kernel kills the process (SIGSYS) before it
 * makes the call that the test names, or returns an error. Prints the result.
 */
import { closeLayers, openLayers } from '../../src/overlay/layers.js';
import { DEFAULTS } from '../../src/overlay/option-table.js';
import { createOverlay } from '../../src/overlay/overlay.js';
import { errnoName } from '../../src/sys/index.js';
import { Deferred, FsError } from '../../src/vfs/errors.js';
import { Attr, Caller, Entry, type NodeId, ROOT_ID, SetAttr } from '../../src/vfs/types.js';
import { InstantJobs } from '../overlay/core-fixture.js';
import { onCall } from './syscalls.js';

/** The step and the call. */
export interface KilledRun {
  /** Holds lower, upper and work. */
  readonly place: string;
  readonly step: readonly ['rename', string, string] | readonly ['empty' | 'chmod' | 'find', string];
  /** Numbers of the system calls, and the value their fifth argument must have. */
  readonly calls: readonly number[];
  readonly flags?: number;
  /** The error that they return; without it they kill. */
  readonly errno?: number;
}

const { place, step, calls, flags, errno } = JSON.parse(process.argv[2]!) as KilledRun;
const opened = openLayers({
  ...DEFAULTS,
  lowerdir: [`${place}/lower`],
  upperdir: `${place}/upper`,
  workdir: `${place}/work`,
  redirectDir: 'on',
  metacopy: true,
  index: true,
});
const features = { ...opened.features, renameWhiteout: false };
const log = { debug() {}, info() {}, warn() {}, error() {} };
const notify = { attributes() {}, listing() {} };
const jobs = new InstantJobs();
const fs = createOverlay({ ...opened, features }, { jobs, notify, log, dataMode: 'cached' });

/** Node of a path. Throws FsError, and Error if it does not exist. */
function node(path: string): NodeId {
  let at = ROOT_ID as NodeId;
  for (const name of path.split('/').filter((part) => part !== '')) {
    const entry = new Entry();
    if (!fs.lookup(at, name, new Caller(), entry)) throw new Error(`${name} is missing`);
    at = entry.node;
  }
  return at;
}

function split(path: string) {
  const end = path.lastIndexOf('/') + 1;
  return { parent: node(path.slice(0, end)), name: path.slice(end) };
}

function setAttributes(path: string, change: Partial<SetAttr>): () => void {
  const at = node(path);
  return () => fs.setattr(at, Object.assign(new SetAttr(), change), new Caller(), new Attr());
}

/** The step, after all its preparations. */
function prepared(): () => void {
  switch (step[0]) {
    case 'rename': {
      const [from, to] = [split(step[1]), split(step[2])];
      return () => fs.rename(from, to, 0);
    }
    case 'empty':
      return setAttributes(step[1], { size: 0 });
    case 'chmod':
      return setAttributes(step[1], { mode: 0o600 });
    case 'find':
      return () => node(step[1]);
  }
}

/** Repeats it until it is no longer deferred. */
function outcome(action: () => void): string {
  for (;;) {
    try {
      action();
      return 'ok';
    } catch (error) {
      if (error instanceof FsError) return errnoName(error.errno);
      if (!(error instanceof Deferred)) return (error as Error).message;
      jobs.resumed = error.job;
    }
  }
}

const action = prepared();
for (const call of calls) onCall(call, flags, errno);
console.log(outcome(action));
fs.destroy();
closeLayers(opened);
