/** What a daemon does to its own process. */
import { native, result } from './ffi.js';

const setsidCall = native('int', 'setsid', []);
const dup3Call = native('int', 'dup3', ['int', 'int', 'int']);
const exitCall = native('void', '_exit', ['int']);
const mallocTrimCall = native('int', 'malloc_trim', ['uint64']);

/** Starts a session of its own, away from the caller's terminal. Returns its id or -errno. */
export function setsid(): number {
  return result(setsidCall());
}

/** Makes `to` another descriptor of the open file `from` (inherited by children). Returns `to` or -errno. */
export function dup2(from: number, to: number): number {
  return result(dup3Call(from, to, 0));
}

/** Ends the process at once, whatever its threads are doing: no exit handlers, no joins. */
export function exitNow(code: number): void {
  exitCall(code);
}

/** Gives free memory of the C heap back to the system. */
export function mallocTrim(): void {
  mallocTrimCall(0);
}
