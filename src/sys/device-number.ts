/**
 * Device numbers in 32 bits, as in the FUSE protocol (new_encode_dev()), and in glibc and Node for all numbers that Linux assigns:
 * minor's low byte, 12 bits of major, minor's upper 12 bits.
 */

/** The number of a device. */
export function encodeDev(major: number, minor: number): number {
  return ((minor & 0xff) | ((major & 0xfff) << 8) | ((minor & ~0xff) << 12)) >>> 0;
}

/** Major number of a device. */
export function majorOf(dev: number): number {
  return (dev >>> 8) & 0xfff;
}

/** Minor number of a device. */
export function minorOf(dev: number): number {
  return (dev & 0xff) | ((dev >>> 12) & 0xfff00);
}
