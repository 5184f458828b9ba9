/**
 * Does one change of an overlay and is killed by the kernel (SIGSYS) when it makes the system call that the test names, before
 * that is done: the state that a crash there leaves. Exits with 0 when the call never came.
 */
import { closeLayers, openLayers } from '../../src/overlay/layers.js';
import { DEFAULTS } from '../../src/overlay/options.js';
import { createOverlay } from '../../src/overlay/overlay.js';
import { Caller, Entry, type NodeId, ROOT_ID } from '../../src/vfs/types.js';
import { InstantJobs } from '../overlay/core-fixture.js';
import { dieAtCall } from './syscalls.js';

/** What to do. */
export interface KilledRun {
  /** Holds lower, upper and work. */
  readonly place: string;
  /** Paths of at most two names. */
  readonly rename: readonly [string, string];
  /** Number of the system call, and what its fifth argument is to be. */
  readonly call: number;
  readonly flags?: number;
}

const { place, rename, call, flags } = JSON.parse(process.argv[2]!) as KilledRun;
const opened = openLayers({
  ...DEFAULTS,
  lowerdir: [`${place}/lower`],
  upperdir: `${place}/upper`,
  workdir: `${place}/work`,
  redirectDir: 'on',
});
const features = { ...opened.features, renameWhiteout: false };
const log = { debug() {}, info() {}, warn() {}, error() {} };
const notify = { attributes() {}, listing() {} };
const services = { jobs: new InstantJobs(), notify, log, dataMode: 'cached' as const };
const fs = createOverlay({ ...opened, features }, services);

function node(path: readonly string[]): NodeId {
  let at = ROOT_ID as NodeId;
  for (const name of path) {
    const entry = new Entry();
    if (!fs.lookup(at, name, new Caller(), entry)) throw new Error(`${name} is missing`);
    at = entry.node;
  }
  return at;
}

const [from, to] = rename.map((path) => {
  const names = path.split('/');
  return { parent: node(names.slice(0, -1)), name: names.at(-1)! };
});
dieAtCall(call, flags);
fs.rename(from!, to!, 0);
fs.destroy();
closeLayers(opened);
