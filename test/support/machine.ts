/** Runs steps (see words.ts and operations.ts) in a directory. */
import * as sys from '../../src/sys/index.js';
import { type Machine, operations } from './operations.js';
import { munmap, setgroups } from './syscalls.js';
import { words } from './words.js';

/** Opens `path` (latin1) as the root of steps. Throws when it can't. */
export function openMachine(path: string, now: number): Machine {
  const root = sys.openat(sys.AT_FDCWD, path, sys.O_PATH | sys.O_DIRECTORY | sys.O_CLOEXEC);
  if (root < 0) throw new Error(`open ${path}: ${sys.errnoName(root)}`);
  return { path, root, fds: new Map(), maps: new Map(), marks: new Map(), now, user: null };
}

/** Does one step. Returns its result as text. */
export function step(machine: Machine, text: string): string {
  // `sh` takes the rest of its line literally.
  const shell = /^sh (.*)$/s.exec(text);
  const [name = '', ...args] = shell === null ? words(text) : ['sh', shell[1]!];
  const operation = operations[name];
  if (operation === undefined) throw new Error(`no such operation: ${text}`);
  return operation(machine, ...args);
}

/** Becomes root with the usual umask again. */
function resetIdentity(): void {
  if (process.getuid?.() !== 0) return;
  sys.setfsuid(0);
  sys.setfsgid(0);
  setgroups([]);
  sys.umask(0o022);
}

/** Closes everything that the steps left open. */
export function closeMachine(machine: Machine): void {
  resetIdentity();
  for (const { address, length } of machine.maps.values()) munmap(address, length);
  for (const fd of machine.fds.values()) sys.close(fd);
  machine.maps.clear();
  machine.fds.clear();
  sys.close(machine.root);
}

export interface BuildOptions {
  /** Steps may fail: for randomly generated layers. */
  readonly lenient?: boolean;
}

/** Steps that must all succeed, for building layers. Afterwards every object has old, fixed times. */
export function build(directory: string, steps: readonly string[], options: BuildOptions = {}): void {
  const machine = openMachine(directory, Number.MAX_SAFE_INTEGER);
  try {
    const mask = sys.umask(0o022);
    for (const text of steps) {
      const result = step(machine, text);
      if (!options.lenient && /^E[A-Z0-9]+$/.test(result))
        throw new Error(`building ${directory}: ${text}: ${result}`);
    }
    sys.umask(mask);
    settle(machine.root, 0);
  } finally {
    closeMachine(machine);
  }
}

const RECENT = 1_500_000_000;
const stat = new sys.Stat();

/** Gives all new objects a time in 2001, a different one at each directory depth, children before parents. */
function settle(dirfd: number, depth: number): void {
  const fd = sys.openat(dirfd, '.', sys.O_RDONLY | sys.O_DIRECTORY);
  const entries = sys.readDirectory(fd);
  const then = { sec: 1_000_000_000 + depth * 1000, nsec: 123_456_789 };
  for (const entry of typeof entries === 'number' ? [] : entries) {
    sys.statx(fd, entry.name, stat);
    const recent = stat.mtime > RECENT;
    if (entry.type === sys.DT_DIR) {
      const child = sys.openat(fd, entry.name, sys.O_PATH | sys.O_DIRECTORY);
      settle(child, depth + 1);
      sys.close(child);
    }
    if (recent) sys.utimensat(fd, entry.name, then, then);
  }
  if (depth === 0) sys.futimens(fd, then, then);
  sys.close(fd);
}
