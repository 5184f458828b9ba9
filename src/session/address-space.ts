/** V8 reserves much more address space than it uses, for each thread, and ends the process where there is none. */
import { UserError } from '../overlay/user-error.js';
import * as sys from '../sys/index.js';

const MIB = 1 << 20;
/** 1.1 GiB for Node, 0.6 for each of two helpers and for a session's thread, and some to spare. */
const NEEDED = 4096 * MIB;

/** Throws a UserError where the address space is limited to less than a mount comes to reserve. */
export function checkAddressSpace(): void {
  const most = sys.maxAddressSpace(NEEDED);
  if (most >= NEEDED) return;
  throw new UserError(
    `this process may have ${Math.floor(most / MIB)} MiB of address space, and a mount needs ${NEEDED / MIB}: raise the limit of virtual memory (ulimit -v).`,
  );
}
