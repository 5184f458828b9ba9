/** The log as the filesystem and the protocol see it; the session binds it to its target. Structured fields first, then text. */
export interface Log {
  debug(fields: object, text: string): void;
  info(fields: object, text: string): void;
  warn(fields: object, text: string): void;
  error(fields: object, text: string): void;
}
