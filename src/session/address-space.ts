/** V8 reserves far more address space than it uses, once per thread, and aborts the process when there is none left. */
import { UserError } from '../overlay/user-error.js';
import * as sys from '../sys/index.js';

const MIB = 1 << 20;
/** Bytes: 1.1 GiB for Node, 0.6 each for two helpers and a session thread, and a reserve. */
const NEEDED = 4096 * MIB;

/** Throws a UserError when the address space is limited to less than a mount may reserve. */
export function checkAddressSpace(): void {
  const most = sys.maxAddressSpace(NEEDED);
  if (most >= NEEDED) return;
  throw new UserError(
    `this process may have ${Math.floor(most / MIB)} MiB of address space, and a mount needs ${NEEDED / MIB}: raise the limit of virtual memory (ulimit -v).`,
  );
}
