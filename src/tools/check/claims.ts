/**
 * Renamed directories of one layer whose lower part is also visible at a second place: fsck.overlay's "missing whiteout" and
 * "duplicate".
 */
import type { Inode, RealDir } from '../../overlay/inode.js';
import { WH_PREFIX } from '../../overlay/whiteout.js';
import { byBytes, shown } from '../text.js';
import type { View } from '../view.js';
import type { Findings, Repair, Report } from './finding.js';
import { replaceWhiteout, type WhiteoutForm } from './forms.js';

/** A directory with a redirect, and the lower directory that it leads to. */
interface Renamed {
  readonly path: string;
  readonly lower: RealDir;
}

/** Path of a directory in its layer. */
export function pathOf(real: RealDir): string {
  const parts: string[] = [];
  for (let dir: RealDir | null = real; dir !== null && dir.parent !== null; dir = dir.parent)
    parts.unshift(dir.name);
  return parts.join('/');
}

/** The path itself, then the paths of the directories above it, without the root. */
function* upwards(path: string): Generator<string> {
  for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) yield path.slice(0, end);
}

/** Collects the renamed directories of the top layer of a view, then reports those whose lower part is visible twice. */
export class Claims {
  readonly #renamed: Renamed[] = [];
  /** Paths of the directories with a redirect, by the path that it leads to. */
  readonly #places = new Map<string, string[]>();

  add(path: string, lower: RealDir): void {
    this.#renamed.push({ path, lower });
    const from = pathOf(lower);
    const places = this.#places.get(from);
    if (places === undefined) this.#places.set(from, [path]);
    else places.push(path);
  }

  /** `form`: of the whiteouts that a repair makes. */
  report(view: View, form: WhiteoutForm, findings: Findings): void {
    const uncovered = new Map<string, Report>();
    const pairs = new Set<string>();
    for (const { path, lower } of this.#renamed) {
      const from = shown(pathOf(lower));
      for (const place of this.#candidates(path, lower)) {
        const other = secondPlace(view, place, lower);
        if (other === null) continue;
        const pair = [path, place].sort(byBytes).join('\0');
        if (other.hasOwn && !pairs.has(pair)) {
          pairs.add(pair);
          const problem = `the lower directory '${from}' is a part of it, and of '${shown(place)}', too: one of them is a copy or lacks an opaque mark`;
          findings.add({ code: 'duplicate-redirect', path, problem });
        } else if (!other.hasOwn && !uncovered.has(place)) {
          const problem = `the lower directory '${from}' shows here and in '${shown(path)}', which it was renamed to: no whiteout is here`;
          const repair = other.canCover ? { repair: 'make a whiteout', apply: coverIn(form, findings) } : {};
          uncovered.set(place, { code: 'uncovered-redirect', path: place, problem, ...repair });
        }
      }
    }
    // Names inside a directory that needs a whiteout don't need their own.
    for (const [place, finding] of uncovered)
      if (![...upwards(place)].slice(1).some((above) => uncovered.has(above))) findings.add(finding);
  }

  /** Paths at which the lower directory of a renamed one may also be visible. */
  #candidates(path: string, lower: RealDir): Set<string> {
    const from = pathOf(lower);
    const candidates = new Set([from]);
    // Two are enough: if there are more, they are reported separately.
    for (const start of upwards(from))
      for (const place of (this.#places.get(start) ?? []).slice(0, 2))
        candidates.add(place + from.slice(start.length));
    candidates.delete(path);
    return candidates;
  }
}

interface SecondPlace {
  /** The top layer has a directory there, into which the lower one is merged. */
  readonly hasOwn: boolean;
  /** The top layer has the directory that a whiteout would be in. */
  readonly canCover: boolean;
}

function secondPlace(view: View, path: string, lower: RealDir): SecondPlace | null {
  const slash = path.lastIndexOf('/');
  const parent = resolved(view, path.slice(0, Math.max(0, slash)));
  const inode = parent === null ? null : resolved(view, path);
  const real = inode?.dir?.real ?? [];
  const shows = real.some((one) => one.layer === lower.layer && pathOf(one) === pathOf(lower));
  if (!shows) return null;
  return { hasOwn: isOnTop(inode), canCover: isOnTop(parent) };
}

function isOnTop(inode: Inode | null): boolean {
  return inode?.dir?.real[0]?.layer.index === 0;
}

/** The object at a path; null if there is none, or if it can't be looked up, which is reported elsewhere. */
function resolved(view: View, path: string): Inode | null {
  try {
    return view.resolve(path);
  } catch (error) {
    if (error instanceof Error && error.name === 'UserError') return null;
    throw error;
  }
}

function coverIn(form: WhiteoutForm, findings: Findings): Repair {
  return (dirfd, name) =>
    replaceWhiteout(dirfd, name, form === 'aufs' ? WH_PREFIX + name : name, form, findings.own);
}
