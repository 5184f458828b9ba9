/**
 * The value of `overlay.nlink`: the union nlink of a file with an index entry, as the difference from the real link count of the
 * upper (`U+n`) or the lower file (`L+n`).
 */

/** Longest value that the kernel reads. */
export const NLINK_MAX = 12;

/** The union nlink from a value and the real counts (ovl_get_nlink()); 0 when the value is invalid or the result not positive. */
export function decodeNlink(value: string, upperNlink: number, lowerNlink: number): number {
  const match = /^([UL])([+-]\d+)\n?$/.exec(value);
  if (match === null) return 0;
  return Math.max(0, (match[1] === 'L' ? lowerNlink : upperNlink) + Number(match[2]));
}

/** The value for a union nlink, relative to a real count. */
export function encodeNlink(nlink: number, relativeTo: 'U' | 'L', real: number): string {
  const difference = nlink - real;
  return `${relativeTo}${difference < 0 ? '' : '+'}${difference}`;
}
