/** System calls: the only code that knows koffi. Every function returns `>= 0` or `-errno`; see `ffi.ts`. */
export * from './attr.js';
export * from './consts.js';
export * from './copy.js';
export * from './credentials.js';
export * from './dir.js';
export * from './errno.js';
export { PATH_MAX } from './ffi.js';
export * from './file.js';
export * from './handle.js';
export * from './library.js';
export * from './limits.js';
export * from './mount.js';
export * from './poll.js';
export * from './process.js';
export * from './socket.js';
export * from './stat.js';
export * from './tree.js';
export * from './xattr.js';
