/** Process-wide calls: sessions, standard descriptors, exit, memory. */
import { native, result } from './ffi.js';

const setsidCall = native('int', 'setsid', []);
const dup3Call = native('int', 'dup3', ['int', 'int', 'int']);
const exitCall = native('void', '_exit', ['int']);
const mallocTrimCall = native('int', 'malloc_trim', ['uint64']);

/** setsid(2): starts a new session, detached from the caller's terminal. Returns its id or -errno. */
export function setsid(): number {
  return result(setsidCall());
}

/** dup2(2): makes `to`, inherited by children, a descriptor of the open file `from`. Returns `to` or -errno. */
export function dup2(from: number, to: number): number {
  return result(dup3Call(from, to, 0));
}

/** _exit(2): ends the process at once, whatever its threads are doing, without exit handlers. */
export function exitNow(code: number): void {
  exitCall(code);
}

/** malloc_trim(3): returns free memory of the C heap to the system. */
export function mallocTrim(): void {
  mallocTrimCall(0);
}
