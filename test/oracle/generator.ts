/** Randomly generated layer stacks and steps, the same for the same seed. */
import type { Scenario } from './scenario.js';

/** A small seeded random generator (mulberry32). */
export class Chance {
  #state: number;

  constructor(seed: number) {
    this.#state = seed >>> 0;
  }

  /** A number in [0, 1). */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }

  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }

  pick<T>(list: readonly T[]): T {
    return list[this.below(list.length)]!;
  }

  likely(probability: number): boolean {
    return this.next() < probability;
  }

  /** One of the values, by weight. */
  weighted<T>(table: readonly (readonly [number, T])[]): T {
    let at = this.next() * table.reduce((sum, [weight]) => sum + weight, 0);
    for (const [weight, value] of table) {
      at -= weight;
      if (at < 0) return value;
    }
    return table.at(-1)![1];
  }
}

const NAMES = ['a', 'b', 'c'];
const FDS = ['p', 'q'];
const MODES = ['600', '644', '755', '700', '4755', '2750', '1777'];
const OWNERS = ['0:0', '1:2', '1234:1234'];
const COPYING = ['RDONLY', 'WRONLY|CREAT|EXCL', 'RDWR|TRUNC'];
const OPENS = [...COPYING, 'RDWR', 'RDWR|CREAT'];
const FALLOCATE = ['0', 'KEEP_SIZE', 'KEEP_SIZE|PUNCH_HOLE', 'ZERO_RANGE'];
const XATTRS = ['user.one', 'user.two', 'trusted.three', 'trusted.overlay.opaque'];

class Generator {
  readonly #chance: Chance;
  /** Paths that exist in some layer, or were made by a step: likely targets. */
  readonly #paths = new Set<string>(['a', 'b']);
  /** Those of them that are a directory somewhere. */
  readonly #directories = new Set<string>();

  /** An open for writing copies data up in the kernel, the first write in plyfs: not made with metacopy. */
  #metacopy = false;

  constructor(chance: Chance) {
    this.#chance = chance;
  }

  /** `set`: mount options to use instead of random ones. */
  scenario(set: readonly string[] | null): Scenario {
    const chance = this.#chance;
    const lower = Array.from({ length: 1 + chance.below(3) }, (_, i) => this.#layer(i > 0));
    const upper = chance.likely(0.5) ? this.#layer(true) : undefined;
    const picked = chance.weighted<readonly string[]>([
      [6, []],
      [2, ['redirect_dir=on']],
      [1, ['metacopy=on', 'redirect_dir=on']],
      [1, ['index=on']],
      [1, ['index=on', 'metacopy=on', 'redirect_dir=on']],
    ]);
    const options = set ?? picked;
    this.#metacopy = options.includes('metacopy=on');
    const steps = Array.from({ length: 8 + chance.below(25) }, () => this.#step());
    const look = chance.likely(0.7) ? 'each' : 'last';
    const scenario: Scenario = { lower, steps, options, look, lenient: true };
    return upper === undefined ? scenario : { ...scenario, upper };
  }

  #layer(whiteouts: boolean): string[] {
    const lines: string[] = [];
    this.#directory(lines, '', 0, whiteouts);
    return lines;
  }

  #directory(lines: string[], prefix: string, depth: number, whiteouts: boolean): void {
    const chance = this.#chance;
    for (const name of NAMES) {
      if (chance.likely(0.4)) continue;
      const path = prefix + name;
      this.#paths.add(path);
      const kind = chance.weighted([
        [5, 'put'],
        [depth < 2 ? 6 : 1, 'dir'],
        [1, 'symlink'],
        [whiteouts ? 1.5 : 0, 'whiteout'],
        [0.5, 'fifo'],
        [0.7, 'link'],
      ]);
      this.#object(lines, kind, path, depth, whiteouts);
    }
  }

  #object(lines: string[], kind: string, path: string, depth: number, whiteouts: boolean): void {
    const chance = this.#chance;
    if (kind === 'whiteout') lines.push(`whiteout ${path}`);
    else if (kind === 'symlink') lines.push(`symlink ${chance.pick([...this.#paths])} ${path}`);
    else if (kind === 'fifo') lines.push(`mknod ${path} p 644`);
    else if (kind === 'link') lines.push(`link ${chance.pick([...this.#paths])} ${path}`);
    else {
      lines.push(kind === 'put' ? `put ${path} ${path}-${chance.below(1000)}` : `dir ${path}`);
      if (kind === 'dir') this.#directories.add(path);
      if (kind === 'dir') this.#directory(lines, `${path}/`, depth + 1, whiteouts);
      // Owner first: it clears set-id bits.
      if (chance.likely(0.2)) lines.push(`chown ${path} ${chance.pick(OWNERS)}`);
      if (chance.likely(0.3)) lines.push(`chmod ${path} ${chance.pick(MODES)}`);
      if (chance.likely(0.2)) lines.push(`setxattr ${path} ${chance.pick(['user.one', 'trusted.three'])} v`);
      if (kind === 'dir' && whiteouts && chance.likely(0.15)) {
        lines.push(`setxattr ${path} trusted.overlay.opaque y`);
      }
    }
  }

  #path(): string {
    const chance = this.#chance;
    if (chance.likely(0.75)) return chance.pick([...this.#paths]);
    if (chance.likely(0.8) && this.#directories.size > 0) {
      return `${chance.pick([...this.#directories])}/${chance.pick(NAMES)}`;
    }
    return Array.from({ length: 1 + chance.below(3) }, () => chance.pick(NAMES)).join('/');
  }

  #made(): string {
    const path = this.#path();
    this.#paths.add(path);
    return path;
  }

  #directoryPath(): string {
    if (this.#directories.size === 0 || this.#chance.likely(0.2)) return this.#path();
    return this.#chance.pick([...this.#directories]);
  }

  #newDirectory(): string {
    const path = this.#made();
    this.#directories.add(path);
    return path;
  }

  #step(): string {
    const make = this.#chance.weighted(this.#steps);
    return make();
  }

  readonly #steps: readonly (readonly [number, () => string])[] = [
    [4, () => `put ${this.#made()} new-${this.#chance.below(1000)}`],
    [4, () => `mkdir ${this.#newDirectory()} ${this.#chance.pick(MODES)}`],
    [8, () => `unlink ${this.#path()}`],
    [8, () => `rmdir ${this.#directoryPath()}`],
    [
      9,
      () =>
        `rename ${this.#path()} ${this.#made()}${this.#chance.pick(['', '', '', ' NOREPLACE', ' EXCHANGE'])}`,
    ],
    [3, () => `link ${this.#path()} ${this.#made()}`],
    [2, () => `symlink ${this.#path()} ${this.#made()}`],
    [1, () => `mknod ${this.#made()} ${this.#chance.pick(['p 644', 's 600', 'c 666 1:3', 'f 640'])}`],
    [3, () => `add ${this.#path()} more`],
    [1, () => `truncate ${this.#path()} ${this.#chance.below(20)}`],
    [2, () => `chmod ${this.#path()} ${this.#chance.pick(MODES)}`],
    [2, () => `chown ${this.#path()} ${this.#chance.pick(OWNERS)}`],
    [1, () => `utimens ${this.#path()} 5.5 ${this.#chance.below(1000)}.25`],
    [
      2,
      () =>
        `setxattr ${this.#path()} ${this.#chance.pick(XATTRS)} v${this.#chance.below(9)}${this.#chance.pick(['', ' CREATE', ' REPLACE'])}`,
    ],
    [1, () => `removexattr ${this.#path()} ${this.#chance.pick(XATTRS)}`],
    [1, () => `listxattr ${this.#path()}`],
    [2, () => `list ${this.#directoryPath()}`],
    [1, () => `stat ${this.#path()} type,mode,owner`],
    [1, () => `cat ${this.#path()}`],
    [
      3,
      () =>
        `open ${this.#chance.pick(FDS)} ${this.#made()} ${this.#chance.pick(this.#metacopy ? COPYING : OPENS)}|NONBLOCK`,
    ],
    [1, () => `open ${this.#chance.pick(FDS)} ${this.#path()} RDWR|TMPFILE`],
    [1, () => `linkfd ${this.#chance.pick(FDS)} ${this.#made()}`],
    [2, () => `read ${this.#chance.pick(FDS)} ${this.#chance.below(4)} 20`],
    [2, () => `write ${this.#chance.pick(FDS)} ${this.#chance.below(12)} W${this.#chance.below(100)}`],
    [1, () => `fstat ${this.#chance.pick(FDS)} type,mode,owner`],
    [1, () => `close ${this.#chance.pick(FDS)}`],
    [1, () => `ftruncate ${this.#chance.pick(FDS)} ${this.#chance.below(20)}`],
    [
      1,
      () => `fallocate ${this.#chance.pick(FDS)} ${this.#chance.pick(FALLOCATE)} ${this.#chance.below(3)} 9`,
    ],
    [1, () => `copyrange ${this.#chance.pick(FDS)} 0 ${this.#chance.pick(FDS)} ${this.#chance.below(12)} 5`],
    [0.5, () => `fchmod ${this.#chance.pick(FDS)} ${this.#chance.pick(MODES)}`],
    [0.5, () => `flock ${this.#chance.pick(FDS)} ${this.#chance.pick(['SH', 'EX', 'UN'])}`],
    [0.3, () => 'forget'],
    [1, () => `user ${this.#chance.pick(['0:0', '0:0', '1234:1234'])}`],
  ];
}

/** The scenario of a seed; `options`: mounted with these. */
export function generate(seed: number, options: readonly string[] | null = null): Scenario {
  return new Generator(new Chance(seed)).scenario(options);
}
