/** Directories for tests of opening layers: made in a temporary place, cleaned up with all mounts in it. */

import { execFileSync, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readdirSync, readlinkSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import type { TestContext } from 'node:test';
import type { OpenedLayers, OverlayOptions } from '../../src/overlay/config.js';
import { closeLayers, openLayers } from '../../src/overlay/layers.js';
import { DEFAULTS } from '../../src/overlay/option-table.js';

export const isRoot = process.getuid?.() === 0;

/** Why a test that mounts is skipped, or false. */
export const needsMounts = isRoot && canMount() ? false : 'needs root and permission to mount';

/** Why a test that compares trusted.* xattrs with the kernel's is skipped, or false. */
export const needsTrusted =
  needsMounts || (readlinkSync('/proc/self/ns/user') === 'user:[4026531837]' ? false : 'in a user namespace');

function canMount(): boolean {
  return spawnSync('unshare', ['-m', 'mount', '-t', 'tmpfs', 'x', '/mnt']).status === 0;
}

export class Place {
  readonly dir = mkdtempSync(join(tmpdir(), 'plyfs-layers-'));
  private readonly mounts: string[] = [];
  private readonly opened: OpenedLayers[] = [];

  constructor(t: TestContext) {
    t.after(() => this.dispose());
  }

  /** Absolute path of a name in here. */
  at(name: string): string {
    return join(this.dir, name);
  }

  /** Makes directories; returns the path of the first. */
  dirs(...names: string[]): string {
    for (const name of names) mkdirSync(this.at(name), { recursive: true });
    return this.at(names[0]!);
  }

  file(name: string, content = ''): string {
    mkdirSync(dirname(this.at(name)), { recursive: true });
    writeFileSync(this.at(name), content);
    return this.at(name);
  }

  /** mount(8); unmounted at the end of the test. `on` is a name in here. */
  mount(on: string, ...args: string[]): string {
    mkdirSync(this.at(on), { recursive: true });
    execFileSync('mount', [...args, this.at(on)], { cwd: this.dir, stdio: ['ignore', 'ignore', 'pipe'] });
    this.mounts.push(this.at(on));
    return this.at(on);
  }

  run(command: string, ...args: string[]): void {
    execFileSync(command, args, { cwd: this.dir });
  }

  umount(on: string): void {
    execFileSync('umount', [this.at(on)]);
    this.mounts.splice(this.mounts.indexOf(this.at(on)), 1);
  }

  tmpfs(on: string): string {
    return this.mount(on, '-t', 'tmpfs', 'plyfs-test');
  }

  /** Opens layers; lower names and paths may be relative to here. */
  open(options: Partial<OverlayOptions>): OpenedLayers {
    const opened = openLayers(this.options(options));
    this.opened.push(opened);
    return opened;
  }

  options(options: Partial<OverlayOptions>): OverlayOptions {
    const full = (path: string): string => (path.startsWith('/') ? path : this.at(path));
    const all = { ...DEFAULTS, ...options };
    return {
      ...all,
      lowerdir: all.lowerdir.map(full),
      datadir: all.datadir.map(full),
      upperdir: all.upperdir === null ? null : full(all.upperdir),
      workdir: all.workdir === null ? null : full(all.workdir),
    };
  }

  close(opened: OpenedLayers): void {
    closeLayers(opened);
    this.opened.splice(this.opened.indexOf(opened), 1);
  }

  private dispose(): void {
    for (const opened of this.opened) closeLayers(opened);
    for (const on of this.mounts.reverse()) execFileSync('umount', ['-l', on]);
    rmSync(this.dir, { recursive: true, force: true });
  }
}

/** How many descriptors this process has. */
export function descriptorCount(): number {
  return readdirSync('/proc/self/fd').length;
}
