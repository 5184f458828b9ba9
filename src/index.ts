/** plyfs for Node programs: `import { mount } from 'plyfs'`. */
export {
  type EndReason,
  type LogLevel,
  type LogTarget,
  type Mount,
  type MountOptions,
  mount,
  type SessionEnd,
  type Stats,
  type Transport,
} from './mount.js';
export { UserError } from './overlay/user-error.js';
