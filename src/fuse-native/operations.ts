/** One row per libfuse callback: what it does, and what fuse-native's addon expects back. */
import { TWO_32 } from '../sys/consts.js';
import { EOPNOTSUPP } from '../sys/errno.js';
import { fail } from '../vfs/errors.js';
import type { PathFiles, Times } from './path-files.js';

/** A result `>= 0` or `-errno`, or what is handed back with the result 0. */
export type Outcome = number | readonly unknown[];

/** A row of {@link OPERATIONS}. */
export interface Operation {
  readonly name: string;
  /** The kernel's opcode (FUSE_*), by which requests are counted. */
  readonly opcode: number;
  /** Throws FsError or Deferred. */
  run(files: PathFiles, ...args: never[]): Outcome;
  /** What goes with every result, even a failure: the addon asserts that it gets its buffer back. */
  handBack?(args: readonly unknown[], result: number): readonly unknown[];
}

const fileData = (args: readonly unknown[], result: number): unknown[] => [
  Math.max(0, result),
  (args[2] as Buffer).buffer,
];
const xattrValue = (args: readonly unknown[]): unknown[] => [(args[2] as Buffer).buffer];
const xattrNames = (args: readonly unknown[]): unknown[] => [(args[1] as Buffer).buffer];

/** For operations without a result. */
const done = (_nothing: unknown): Outcome => 0;

/** Arguments of read and write; the last two are the halves of the offset. */
type Data = [path: string, handle: number, data: Buffer, size: number, low: number, high: number];

/** Callbacks that are missing here answer ENOSYS, which libfuse and the kernel take as "never". */
export const OPERATIONS: readonly Operation[] = [
  { name: 'getattr', opcode: 3, run: (files, path: string) => [files.getattr(path)] },
  { name: 'fgetattr', opcode: 3, run: (files, _path: string, handle: number) => [files.fgetattr(handle)] },
  { name: 'readlink', opcode: 5, run: (files, path: string) => [files.readlink(path)] },
  { name: 'chmod', opcode: 4, run: (files, path: string, mode: number) => done(files.chmod(path, mode)) },
  {
    name: 'chown',
    opcode: 4,
    run: (files, path: string, uid: number, gid: number) => done(files.chown(path, uid, gid)),
  },
  {
    name: 'utimens',
    opcode: 4,
    run: (files, path: string, times: Times | null) => done(files.utimens(path, times)),
  },
  {
    name: 'truncate',
    opcode: 4,
    run: (files, path: string, low: number, high: number) => done(files.truncate(path, low + high * TWO_32)),
  },
  {
    name: 'ftruncate',
    opcode: 4,
    run: (files, _path: string, handle: number, low: number, high: number) =>
      done(files.ftruncate(handle, low + high * TWO_32)),
  },
  {
    name: 'mknod',
    opcode: 8,
    run: (files, path: string, mode: number, device: number) => done(files.mknod(path, mode, device)),
  },
  { name: 'mkdir', opcode: 9, run: (files, path: string, mode: number) => done(files.mkdir(path, mode)) },
  {
    name: 'symlink',
    opcode: 6,
    run: (files, target: string, path: string) => done(files.symlink(target, path)),
  },
  { name: 'link', opcode: 13, run: (files, from: string, to: string) => done(files.link(from, to)) },
  { name: 'unlink', opcode: 10, run: (files, path: string) => done(files.unlink(path)) },
  { name: 'rmdir', opcode: 11, run: (files, path: string) => done(files.rmdir(path)) },
  { name: 'rename', opcode: 12, run: (files, from: string, to: string) => done(files.rename(from, to)) },
  { name: 'open', opcode: 14, run: (files, path: string) => [files.open(path)] },
  { name: 'create', opcode: 35, run: (files, path: string, mode: number) => [files.create(path, mode)] },
  { name: 'release', opcode: 18, run: (files, _path: string, handle: number) => done(files.release(handle)) },
  {
    name: 'read',
    opcode: 15,
    run: (files, ...[, handle, into, size, low, high]: Data) =>
      files.read(handle, into, size, low + high * TWO_32),
    handBack: fileData,
  },
  {
    name: 'write',
    opcode: 16,
    run: (files, ...[, handle, data, size, low, high]: Data) =>
      files.write(handle, data, size, low + high * TWO_32),
    handBack: fileData,
  },
  {
    name: 'fsync',
    opcode: 20,
    run: (files, _path: string, datasync: number, handle: number) =>
      done(files.fsync(handle, datasync !== 0)),
  },
  {
    name: 'fsyncdir',
    opcode: 30,
    run: (files, path: string, datasync: number) => done(files.fsyncdir(path, datasync !== 0)),
  },
  { name: 'readdir', opcode: 28, run: (files, path: string) => files.readdir(path) },
  {
    name: 'setxattr',
    opcode: 21,
    run: (files, path: string, name: string, value: Buffer, position: number, flags: number) =>
      position === 0 ? done(files.setxattr(path, name, value, flags)) : fail(EOPNOTSUPP, 'setxattr'),
    handBack: xattrValue,
  },
  {
    name: 'getxattr',
    opcode: 22,
    run: (files, path: string, name: string, into: Buffer) => files.getxattr(path, name, into),
    handBack: xattrValue,
  },
  {
    name: 'listxattr',
    opcode: 23,
    run: (files, path: string, into: Buffer) => files.listxattr(path, into),
    handBack: xattrNames,
  },
  {
    name: 'removexattr',
    opcode: 24,
    run: (files, path: string, name: string) => done(files.removexattr(path, name)),
  },
  { name: 'statfs', opcode: 17, run: (files, path: string) => [files.statfs(path)] },
];
