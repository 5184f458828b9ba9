/** struct timespec, as the interfaces of every room carry a time. */

/** Seconds since the epoch (may be negative) and nanoseconds, or {@link UTIME_NOW} or {@link UTIME_OMIT} in `nsec`. */
export interface Timespec {
  sec: number;
  nsec: number;
}

/** `nsec` of a time that means "now" (utimensat(2)). */
export const UTIME_NOW = 0x3fffffff;
/** `nsec` of a time that is to stay as it is (utimensat(2)). */
export const UTIME_OMIT = 0x3ffffffe;
