/** `plyfs check`: finds problems in layers, and repairs them. */
import { unescapeValue } from '../../overlay/option-text.js';
import { UserError } from '../../overlay/user-error.js';
import * as sys from '../../sys/index.js';
import { type PathLike, pathBytes, quoted } from '../text.js';
import { openTop } from '../tree.js';
import { type Stack, usesUserXattrs } from '../view.js';
import { carryOut, type Finding, Findings, type Repairable } from './finding.js';
import type { WhiteoutForm } from './forms.js';
import { Nested } from './nested.js';
import { Scan } from './scan.js';
import { StackCheck } from './stack.js';
import { checkWork } from './work.js';

export type { Finding, FindingCode } from './finding.js';
export type { WhiteoutForm } from './forms.js';

/** The stack to check, and what to do about it. */
export interface CheckOptions extends Stack {
  readonly work?: PathLike | null | undefined;
  /** The desired form of whiteouts and opaque marks; `chardev` also accepts the kernel's other form. */
  readonly form?: WhiteoutForm | undefined;
  /** Repair the problems. Otherwise nothing is written. */
  readonly repair?: boolean;
  /** With `repair`: remove the mark of a volatile mount that may have lost data. */
  readonly forgetVolatile?: boolean;
  /** Called with all findings before the first one is repaired. */
  readonly beforeRepair?: (findings: readonly Finding[]) => void;
}

/** What {@link check} found. */
export interface CheckResult {
  readonly findings: readonly Finding[];
  /** Findings that were repaired, and those that are left. */
  readonly repaired: number;
  readonly left: number;
}

/** Directories of one run, open and locked. */
class Opened {
  readonly #fds: number[] = [];

  open(path: PathLike, what: string, exclusively: boolean): number {
    const fd = openTop(path, what);
    this.#fds.push(fd);
    if (exclusively && sys.flock(fd, sys.LOCK_EX | sys.LOCK_NB) === -sys.EAGAIN) {
      throw new UserError(
        `the ${what} '${quoted(pathBytes(path))}' is in use by a plyfs mount; unmount that before a repair.`,
      );
    }
    return fd;
  }

  [Symbol.dispose](): void {
    for (const fd of this.#fds) sys.close(fd);
  }
}

const link = Buffer.alloc(sys.PATH_MAX);

/** Refuses to change a directory that a kernel overlay uses. */
function refuseMounted(fd: number): void {
  const size = sys.readlinkat(sys.AT_FDCWD, `/proc/self/fd/${fd}`, link);
  const path = link.latin1Slice(0, Math.max(0, size));
  for (const { superOptions, mountPoint: point } of sys.readMounts('overlay')) {
    const dirs = superOptions.split(',').flatMap((option) => {
      const match = /^(lowerdir\+?|datadir\+|upperdir|workdir)=(.*)$/s.exec(option);
      if (match === null) return [];
      const value = sys.unescapeOctal(match[2]!);
      return [value, ...value.split(/(?<!\\):/)].map(unescapeValue);
    });
    if (dirs.includes(path)) {
      throw new UserError(
        `'${quoted(path)}' is in use by the overlay mounted on '${quoted(point)}'; unmount that before a repair.`,
      );
    }
  }
}

/** Checks the layers of a stack, and repairs them if requested. Throws a UserError when it can't. */
export function check(options: CheckOptions): CheckResult {
  using opened = new Opened();
  const { upper = null, work = null, lower, data = [], repair = false, form = 'chardev' } = options;
  const userxattr = usesUserXattrs(options);
  const all: Repairable[] = [];
  const layers = upper === null ? [...lower] : [upper, ...lower];
  const nested = new Nested();
  const workFd = work === null ? -1 : opened.open(work, 'work directory', repair);
  if (workFd >= 0) nested.add(workFd);
  for (const [i, path] of layers.entries()) {
    const isUpper = upper !== null && i === 0;
    const fd = opened.open(path, isUpper ? 'upper directory' : 'lower directory', repair && isUpper);
    if (repair) refuseMounted(fd);
    const findings = new Findings(pathBytes(path), fd, userxattr);
    if (isUpper) nested.add(fd);
    const how = { form, isUpper, nested };
    new Scan(findings, how).run();
    if (i < layers.length - 1) StackCheck.run({ lower: layers.slice(i), data, userxattr }, how, findings);
    all.push(...findings.list);
  }
  if (work !== null) {
    if (repair) refuseMounted(workFd);
    const findings = new Findings(pathBytes(work), workFd, userxattr);
    checkWork(findings, options.forgetVolatile === true);
    all.push(...findings.list);
  }
  const findings = all.map(({ finding }) => finding);
  if (repair) {
    options.beforeRepair?.(findings);
    // Deeper objects first: a repair may remove or rename directories on the way.
    for (const one of all.toReversed()) carryOut(one);
  }
  const repaired = findings.filter((finding) => finding.repaired === true).length;
  return { findings, repaired, left: findings.length - repaired };
}
