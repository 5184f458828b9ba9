/** System calls that only tests make; in the conventions of src/sys: `>= 0` or `-errno`, names as latin1. */

import { addressOf, native, nativeSyscall, path, result, TOO_LONG } from '../../src/sys/ffi.js';
import { AT_FDCWD, close, O_CLOEXEC, O_RDONLY, openat } from '../../src/sys/index.js';

const fcntlCall = native('int', 'fcntl', ['int', 'int', 'void *']);
const setgroupsCall = nativeSyscall(['uint64', 'void *']);
const truncateCall = native('int', 'truncate64', ['void *', 'int64']);
const mmapCall = native('int64', 'mmap', ['int64', 'uint64', 'int', 'int', 'int', 'int64']);
const munmapCall = native('int', 'munmap', ['int64', 'uint64']);
const msyncCall = native('int', 'msync', ['int64', 'uint64', 'int']);
const fromMemory = native('int64', 'memcpy', ['void *', 'int64', 'uint64']);
const toMemory = native('int64', 'memcpy', ['int64', 'void *', 'uint64']);
const faccessatCall = nativeSyscall(['int', 'void *', 'int', 'int']);

const getrlimitCall = native('int', 'getrlimit', ['int', 'void *']);
const setrlimitCall = native('int', 'setrlimit', ['int', 'void *']);

const SYS_SETGROUPS = process.arch === 'arm64' ? 159 : 116;
const SYS_FACCESSAT2 = 439;
const F_OFD_SETLK = 37;
const MAP_SHARED = 1;
const RLIMIT_NOFILE = 7;

export const PROT_READ = 1;
export const PROT_WRITE = 2;
export const LOCK_TYPES: Readonly<Record<string, number>> = { RD: 0, WR: 1, UN: 2 };

/** Supplementary groups of this thread alone (the raw call). */
export function setgroups(groups: readonly number[]): number {
  const list = Buffer.alloc(Math.max(4, groups.length * 4));
  groups.forEach((gid, i) => {
    list.writeUInt32LE(gid, i * 4);
  });
  return result(setgroupsCall(SYS_SETGROUPS, groups.length, list));
}

export function truncate(name: string, size: number): number {
  const p = path(name);
  return p === null ? TOO_LONG : result(truncateCall(p, size));
}

/** faccessat2(2) with AT_EACCESS: the identity that filesystem access uses. */
export function access(dirfd: number, name: string, mode: number): number {
  const p = path(name);
  return p === null ? TOO_LONG : result(faccessatCall(SYS_FACCESSAT2, dirfd, p, mode, 0x200));
}

/** A lock of the open file description, never waiting. */
export function lock(fd: number, type: number, start: number, length: number): number {
  const flock = Buffer.alloc(32);
  flock.writeInt16LE(type, 0);
  flock.writeBigInt64LE(BigInt(start), 8);
  flock.writeBigInt64LE(BigInt(length), 16);
  return result(fcntlCall(fd, F_OFD_SETLK, flock));
}

/** A shared mapping from offset 0. Returns its address or -errno. */
export function mmap(fd: number, length: number, protection: number): number {
  return result(mmapCall(0, length, protection, MAP_SHARED, fd, 0));
}

export function munmap(address: number, length: number): number {
  return result(munmapCall(address, length));
}

export function msync(address: number, length: number): number {
  return result(msyncCall(address, length, 4));
}

export function peek(address: number, length: number): string {
  const into = Buffer.alloc(length);
  fromMemory(into, address, length);
  return into.toString('latin1');
}

export function poke(address: number, text: string): void {
  toMemory(address, Buffer.from(text, 'latin1'), text.length);
}

/** Runs `action` while this process may open only `free` more descriptors. */
export function withFreeDescriptors(free: number, action: () => void): void {
  const limit = Buffer.alloc(16);
  getrlimitCall(RLIMIT_NOFILE, limit);
  const low = Buffer.from(limit);
  low.writeBigUInt64LE(512n, 0);
  const held: number[] = [];
  try {
    setrlimitCall(RLIMIT_NOFILE, low);
    for (;;) {
      const fd = openat(AT_FDCWD, '/dev/null', O_RDONLY | O_CLOEXEC);
      if (fd < 0) break;
      held.push(fd);
    }
    for (const fd of held.splice(0, free)) close(fd);
    action();
  } finally {
    for (const fd of held) close(fd);
    setrlimitCall(RLIMIT_NOFILE, limit);
  }
}

const arm = process.arch === 'arm64';
const SYS_SECCOMP = arm ? 277 : 317;
const seccompCall = nativeSyscall(['uint', 'uint', 'void *']);
const prctlCall = native('int', 'prctl', ['int', 'uint64', 'uint64', 'uint64', 'uint64']);
const PR_SET_NO_NEW_PRIVS = 38;
const SECCOMP_SET_MODE_FILTER = 1;

/**
 * Calls that {@link onCall} accepts. glibc turns a renameat2(3) without flags into renameat(2); xattrs are read by one of
 * several calls.
 */
export const CALLS = {
  renameat: arm ? 38 : 264,
  renameat2: arm ? 276 : 316,
  linkat: arm ? 37 : 265,
  ftruncate: arm ? 46 : 77,
  getxattr: arm ? [8, 9, 10, 464] : [191, 192, 193, 464],
  nameToHandle: arm ? 264 : 303,
};

/**
 * From now on system call `number`, with `flags` as its fifth argument or with any, fails with `errno` or kills this
 * process. Earlier settings remain in force.
 */
export function onCall(number: number, flags?: number, errno?: number): void {
  const [LOAD, IF_EQUAL, RETURN] = [0x20, 0x15, 0x06];
  const [KILL_PROCESS, FAIL, ALLOW] = [0x80000000, 0x00050000, 0x7fff0000];
  // struct seccomp_data: the number first, the low half of the fifth argument at 48.
  const steps = [
    [LOAD, 0, 0, 0],
    [IF_EQUAL, 0, 3, number],
    [LOAD, 0, 0, 48],
    [IF_EQUAL, 0, flags === undefined ? 0 : 1, flags ?? 0],
    [RETURN, 0, 0, errno === undefined ? KILL_PROCESS : FAIL + errno],
    [RETURN, 0, 0, ALLOW],
  ];
  const filter = Buffer.alloc(steps.length * 8);
  steps.forEach(([code, yes, no, value], i) => {
    filter.writeUInt16LE(code!, i * 8);
    filter[i * 8 + 2] = yes!;
    filter[i * 8 + 3] = no!;
    filter.writeUInt32LE(value!, i * 8 + 4);
  });
  const program = Buffer.alloc(16);
  program.writeUInt16LE(steps.length, 0);
  program.writeBigUInt64LE(addressOf(filter), 8);
  const rc = result(prctlCall(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0));
  if (rc < 0 || result(seccompCall(SYS_SECCOMP, SECCOMP_SET_MODE_FILTER, 0, program)) < 0)
    throw new Error('no seccomp filter');
}
