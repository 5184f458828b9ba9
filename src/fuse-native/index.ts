/** The second transport: libfuse 2.9's path callbacks, by the npm package fuse-native, on a FileSystem of inodes. */
export { LIMITS, type Limit } from './capabilities.js';
export { Channel, type ChannelEvents } from './channel.js';
export { loadFuse } from './load.js';
export { MAX_TEXT, optionText } from './options.js';
export { PathFiles } from './path-files.js';
