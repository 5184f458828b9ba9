/** The part of the npm package fuse-native 2.2 that is used; it ships no types, and may not be installed. */
declare module 'fuse-native' {
  /** Ends a request: its result (`>= 0` or `-errno`), then what the operation hands back. */
  type Signal = (result: number, ...payload: unknown[]) => void;
  /** Called by the addon: the request's own record, its opcode, its arguments. */
  type Handler = (this: unknown, record: Buffer, opcode: number, ...args: unknown[]) => void;

  export default class Fuse {
    constructor(mountpoint: string, operations: object, options: { timeout: false });
    /** Calls back when INIT was answered, or with why there is no mount. */
    mount(done: (error: Error | null) => void): void;
    protected _fuseOptions(): string;
    protected readonly _handlers: Handler[];
  }
  export type { Handler, Signal };
}
