/**
 * The FUSE kernel protocol: bytes of a request in, bytes of a reply out, over a `FileSystem`.
 *
 * A request is served in three steps, all in its row of the op table (`ops-*.ts`): decode the arguments from the
 * request view, call the filesystem, encode the answer into the reply buffer. `server.ts` finds the row, and is the
 * only place that catches. `init.ts` negotiates, `notify.ts` builds messages that answer no request.
 */

export { type Negotiated, NOTHING } from './init.js';
export * as notify from './notify.js';
export { PARKED, REQUEST_CAPACITY, Server, type ServerOptions } from './server.js';
