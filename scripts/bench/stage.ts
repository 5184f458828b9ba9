/** One contender on fresh layers, and the tools a scenario works with. */

import { mkdirSync, readdirSync, readFileSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ClientArgs, ClientResult } from './client-ops.js';
import type { ClientPool } from './client-pool.js';
import type { Contender } from './contender.js';
import type { Layers } from './fixtures.js';
import type { Image } from './image.js';
import type { Pin } from './options.js';
import { dropCaches, Failure, launch, pinned, run, sleep } from './process.js';
import type { Scenario } from './scenario.js';
import type { Sizes } from './sizes.js';

export interface Bench {
  readonly image: Image;
  readonly clients: ClientPool;
  readonly pin: Pin;
  /** The interpreter itself, not a wrapper that finds it. */
  readonly python: string | null;
}

const FUSE_CONNECTIONS = '/sys/fs/fuse/connections';
const MEMORY_MIB = 64;
const UMOUNT_TIMEOUT_MS = 20_000;
const SERVER_EXIT_TIMEOUT_MS = 10_000;

let stages = 0;

/** Processes of this PID namespace that hold /dev/fuse open: the servers. */
function fuseServers(): number[] {
  const servers: number[] = [];
  for (const entry of readdirSync('/proc')) {
    const pid = Number(entry);
    if (Number.isInteger(pid) && holdsFuseDevice(pid)) servers.push(pid);
  }
  return servers;
}

function holdsFuseDevice(pid: number): boolean {
  try {
    return readdirSync(`/proc/${pid}/fd`).some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === '/dev/fuse');
  } catch {
    // The process, or a descriptor, has gone meanwhile: it is no longer a server.
    return false;
  }
}

/** Minor device number of a mount, without touching it; null when it isn't mounted. */
function mountMinor(target: string): string | null {
  const lines = readFileSync('/proc/self/mountinfo', 'utf8').split('\n');
  const line = lines.findLast((text) => text.split(' ')[4] === target);
  return line?.split(' ')[2]?.split(':')[1] ?? null;
}

export class Stage {
  readonly contender: Contender;
  readonly layers: Layers;
  readonly values = new Map<string, number>();
  readonly #bench: Bench;
  readonly #scenario: Scenario;
  readonly #dir: string;
  readonly #target: string;
  readonly #log: string;
  readonly #deadline: number;
  #mounted = false;

  constructor(bench: Bench, scenario: Scenario, contender: Contender, layers: Layers) {
    this.#bench = bench;
    this.#scenario = scenario;
    this.contender = contender;
    this.layers = layers;
    const id = `run${stages++}`;
    this.#dir = join(bench.image.root, id);
    this.#target = join(bench.image.scratch, id);
    this.#log = join(bench.image.scratch, `${id}.log`);
    this.#deadline = performance.now() + scenario.timeoutMs;
  }

  /** The directory under test. */
  get root(): string {
    if (this.contender.kind !== 'plain') return this.#target;
    return this.#scenario.modifies ? join(this.#dir, 'plain') : this.layers.plain;
  }

  /** An unused name outside of any mount. */
  scratchFile(name: string): string {
    return join(this.#bench.image.scratch, `${this.#target.split('/').at(-1)}-${name}`);
  }

  get python(): string {
    if (this.#bench.python === null) throw new Failure('python3 is not installed');
    return this.#bench.python;
  }

  /** Fresh directories, warm layers, nothing left to write back; then the mount. */
  async prepare(sizes: Sizes): Promise<void> {
    for (const name of ['upper', 'work']) mkdirSync(join(this.#dir, name), { recursive: true });
    mkdirSync(this.#target);
    if (this.contender.kind === 'plain' && this.#scenario.modifies) {
      await run(['cp', '-a', this.layers.plain, join(this.#dir, 'plain')], this.#limits());
    }
    await this.warmLayers();
    await this.sync();
    await this.#touchMemory(this.#scenario.memoryMiB?.(sizes) ?? MEMORY_MIB);
    await this.mount();
  }

  /**
   * Allocates as much memory as the scenario will fill, and frees it. A virtual machine that reports its free memory to the
   * host gets it back page by page, which is several times slower than any write to the page cache: the first contender
   * would pay for it.
   */
  async #touchMemory(mebibytes: number): Promise<void> {
    const file = this.scratchFile('memory');
    const script = 'head -c "$2M" /dev/zero >"$1"; rm "$1"';
    await run(['sh', '-c', script, 'sh', file, String(mebibytes)], this.#limits());
  }

  /** Brings data and inodes of all layers into memory. */
  async warmLayers(): Promise<void> {
    const trees = this.contender.kind === 'plain' ? [this.root] : this.layers.lowers;
    // The tree of half a million empty files is walked, not read.
    await run(['find', ...trees, '-type', 'f', '-size', '+0', '-exec', 'cat', '{}', '+'], {
      ...this.#limits(),
      discard: true,
    });
  }

  async sync(): Promise<void> {
    await run(['sync', '-f', this.#bench.image.root], this.#limits());
  }

  mountCommand(): { argv: readonly string[]; cwd: string } {
    const command = this.contender.command({
      lowers: this.layers.lowers,
      upper: join(this.#dir, 'upper'),
      work: join(this.#dir, 'work'),
      target: this.#target,
      extra: this.#scenario.extra ?? [],
    });
    return { ...command, argv: pinned(this.#bench.pin, 'server', command.argv) };
  }

  async mount(): Promise<void> {
    if (this.contender.kind === 'plain') return;
    const { argv, cwd } = this.mountCommand();
    this.#mounted = true;
    await launch(argv, this.#log, { ...this.#limits(), cwd });
    if (mountMinor(this.#target) === null) throw new Failure('not mounted, though the command succeeded');
  }

  /** Times the mount command until a file in the mount answers. Nothing may be mounted twice. */
  async mountTimed(file: string): Promise<number> {
    const { argv, cwd } = this.mountCommand();
    this.#mounted = true;
    const out = this.scratchFile('start');
    const script = `s=$EPOCHREALTIME; file=$1 out=$2; shift 2
      "$@" && stat "$file" >/dev/null && echo "$s $EPOCHREALTIME" >"$out"`;
    await launch(['bash', '-c', script, 'bash', join(this.#target, file), out, ...argv], this.#log, {
      ...this.#limits(),
      cwd,
    });
    const [start, end] = readFileSync(out, 'utf8').trim().split(' ').map(Number);
    return (end! - start!) * 1000;
  }

  /** Returns the milliseconds of umount(8); waits until the servers are gone. */
  async unmount(): Promise<number> {
    if (!this.#mounted) return 0;
    const start = performance.now();
    await run(['umount', this.#target], { timeoutMs: UMOUNT_TIMEOUT_MS, onTimeout: () => this.abort() });
    const ms = performance.now() - start;
    this.#mounted = false;
    await this.#serversGone();
    return ms;
  }

  /** Cold: the union itself has nothing in memory, but its layers do. */
  async remount(): Promise<void> {
    if (this.contender.kind === 'plain') return;
    await this.unmount();
    await this.mount();
  }

  /** From disk: nothing is in memory. */
  async remountFromDisk(): Promise<void> {
    await this.sync();
    await this.unmount();
    dropCaches(3);
    await this.mount();
  }

  record(name: string, value: number): void {
    if (!(name in this.#scenario.measures)) throw new Error(`${this.#scenario.name} declares no ${name}`);
    this.values.set(name, value);
  }

  /**
   * Median milliseconds of a shell command in the root, timed by the shell that runs it. Tools that do less when their output
   * is /dev/null need a `| cat`.
   */
  async shell(command: string, options: { repeat?: number; cwd?: string } = {}): Promise<number> {
    const script = `set -e; cd "$1"
      for ((i = 0; i < $2; i++)); do s=$EPOCHREALTIME; { ${command}; } >/dev/null; echo "$s $EPOCHREALTIME"; done`;
    const cwd = options.cwd ?? this.root;
    const argv = ['bash', '-c', script, 'bash', cwd, String(options.repeat ?? 1)];
    const out = await run(pinned(this.#bench.pin, 'client', argv), { ...this.#limits(), label: command });
    const times = out
      .trim()
      .split('\n')
      .map((line) => line.split(' ').map(Number))
      .map(([start, end]) => (end! - start!) * 1000)
      .sort((a, b) => a - b);
    return times[Math.floor(times.length / 2)]!;
  }

  /** A Python script that prints milliseconds; its arguments are in sys.argv. */
  async pythonMs(script: string, args: readonly string[]): Promise<number> {
    const argv = [this.python, '-c', script, ...args];
    return Number(await run(pinned(this.#bench.pin, 'client', argv), this.#limits()));
  }

  /** One operation of a client process; `who` picks the process when several work at once. */
  async client(op: string, args: Partial<ClientArgs> = {}, who = 0): Promise<ClientResult> {
    const limits = this.#limits();
    return await this.#bench.clients.request(who, op, { ...args, root: args.root ?? this.root }, limits);
  }

  async clientMs(op: string, args: Partial<ClientArgs> = {}, who = 0): Promise<number> {
    return (await this.client(op, args, who)) as number;
  }

  /** Resident memory of the servers in MB, once it is stable. */
  async memory(): Promise<number> {
    await sleep(500);
    const sizes = fuseServers().map((pid) => {
      const status = readFileSync(`/proc/${pid}/status`, 'utf8');
      return Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1] ?? 0);
    });
    if (sizes.length === 0) throw new Failure('no server process');
    return sizes.reduce((sum, size) => sum + size, 0) / 1024;
  }

  /** Makes every hanging request of this mount fail. */
  abort(): void {
    const minor = mountMinor(this.#target);
    if (minor === null || this.contender.kind === 'plain' || this.contender.kind === 'kernel') return;
    try {
      writeFileSync(`${FUSE_CONNECTIONS}/${minor}/abort`, '1');
    } catch (error) {
      process.stderr.write(`bench: abort ${minor}: ${(error as Error).message}\n`);
    }
  }

  /** Ends and removes all mounts, processes and files, whatever state the contender is in. */
  async dispose(): Promise<void> {
    if (this.#mounted) {
      await this.unmount().catch(async () => {
        this.abort();
        await run(['umount', '-l', this.#target], { timeoutMs: UMOUNT_TIMEOUT_MS }).catch(() => undefined);
        await this.#serversGone().catch(() => undefined);
      });
    }
    rmSync(this.#dir, { recursive: true, force: true });
  }

  async #serversGone(): Promise<void> {
    for (let waited = 0; fuseServers().length > 0; waited += 5) {
      if (waited > SERVER_EXIT_TIMEOUT_MS) {
        for (const pid of fuseServers()) process.kill(pid, 'SIGKILL');
        throw new Failure('the server is still running after the unmount');
      }
      await sleep(5);
    }
  }

  #limits(): { timeoutMs: number; onTimeout: () => void } {
    const left = this.#deadline - performance.now();
    return { timeoutMs: Math.max(1, left), onTimeout: () => this.abort() };
  }
}
