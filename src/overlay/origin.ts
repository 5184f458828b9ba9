/**
 * The value of `overlay.origin` and `overlay.upper` xattrs, in hex also the name of an index entry: a file handle together with
 * the uuid of its filesystem. Byte for byte the kernel's `struct ovl_fb`.
 *
 * | offset | size | |
 * |---|---|---|
 * | 0 | 1 | version, 0 |
 * | 1 | 1 | magic, 0xfb |
 * | 2 | 1 | length of the whole blob |
 * | 3 | 1 | flags: 1 big-endian handle, 2 handle without byte order, 4 handle of an upper object |
 * | 4 | 1 | handle type |
 * | 5 | 16 | filesystem uuid; zeros: it has none |
 * | 21 | n | handle |
 */

import { endianness } from 'node:os';
import { EINVAL, ENODATA, type FileHandle } from '../sys/index.js';

const VERSION = 0;
const MAGIC = 0xfb;
const HEADER = 21;
const UUID_AT = 5;
const UUID_SIZE = 16;
/** The length has one byte. */
const MAX_SIZE = 255;

const FLAG_BIG_ENDIAN = 1;
const FLAG_ANY_ENDIAN = 2;
const FLAG_PATH_UPPER = 4;
const FLAG_ALL = FLAG_BIG_ENDIAN | FLAG_ANY_ENDIAN | FLAG_PATH_UPPER;
const CPU_ENDIAN = endianness() === 'BE' ? FLAG_BIG_ENDIAN : 0;

/** A decoded origin. */
export interface Origin {
  /** 16 bytes; all zero when the filesystem has no uuid (or the overlay was mounted with uuid=off). */
  readonly uuid: Buffer;
  readonly handle: FileHandle;
  /** The handle is of an object of the upper layer (index entries of directories). */
  readonly isUpper: boolean;
}

/**
 * The blob for a handle; `uuid` is null for a filesystem without one. Like ovl_encode_real_fh(), where a handle can't be expressed
 * the blob is empty, the kernel's own form of "copied up, origin unknown".
 */
export function encodeOrigin(uuid: Uint8Array | null, handle: FileHandle, isUpper: boolean): Buffer {
  const size = HEADER + handle.bytes.length;
  // Type 0 stands for a filesystem's root, 0xff is FILEID_INVALID.
  if (size > MAX_SIZE || handle.type < 0 || handle.type >= 0xff) return Buffer.alloc(0);
  const blob = Buffer.alloc(size);
  blob[0] = VERSION;
  blob[1] = MAGIC;
  blob[2] = size;
  blob[3] = CPU_ENDIAN | (isUpper ? FLAG_PATH_UPPER : 0);
  blob[4] = handle.type;
  if (uuid !== null) blob.set(uuid.subarray(0, UUID_SIZE), UUID_AT);
  handle.bytes.copy(blob, HEADER);
  return blob;
}

/**
 * Validates a blob like ovl_check_fb_len(), which also tolerates bytes after the stated length. Returns 0, -EINVAL when it is
 * malformed, or -ENODATA when it has a later version or another byte order.
 */
export function originBlobError(blob: Uint8Array): number {
  if (blob.length < HEADER || blob.length < blob[2]! || blob[1] !== MAGIC) return -EINVAL;
  // A length that does not even cover the header holds no handle.
  if (blob[2]! < HEADER) return -EINVAL;
  const flags = blob[3]!;
  if (blob[0]! > VERSION || (flags & ~FLAG_ALL) !== 0) return -ENODATA;
  if ((flags & FLAG_ANY_ENDIAN) === 0 && (flags & FLAG_BIG_ENDIAN) !== CPU_ENDIAN) return -ENODATA;
  return 0;
}

/**
 * Decodes a blob that anybody may have written. null when it is unusable: empty, malformed, of a later version or of another byte
 * order.
 */
export function decodeOrigin(blob: Uint8Array): Origin | null {
  if (originBlobError(blob) !== 0) return null;
  const size = blob[2]!;
  const flags = blob[3]!;
  return {
    uuid: Buffer.from(blob.subarray(UUID_AT, UUID_AT + UUID_SIZE)),
    handle: { type: blob[4]!, bytes: Buffer.from(blob.subarray(HEADER, size)) },
    isUpper: (flags & FLAG_PATH_UPPER) !== 0,
  };
}
