/** What the filesystem and the protocol need of a log; the session binds it to its target. Structured fields first, text second. */
export interface Log {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}
