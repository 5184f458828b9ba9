/** Names as fuse-native has them (text, decoded from UTF-8) and as the filesystem has them (bytes as latin1). */
import { EILSEQ } from '../sys/errno.js';
import { fail } from '../vfs/errors.js';

const ASCII = /^[\0-\x7f]*$/;
/** What a decoder puts in place of bytes that are not UTF-8. */
const REPLACEMENT = '\ufffd';

/** Bytes of a text from fuse-native. EILSEQ when it may stand for bytes that it could not carry. */
export function bytesOf(text: string): string {
  if (ASCII.test(text)) return text;
  if (text.includes(REPLACEMENT)) fail(EILSEQ, 'name');
  return Buffer.from(text, 'utf8').latin1Slice();
}

/** Text for fuse-native. EILSEQ when the bytes are not UTF-8: no other name may be shown in their place. */
export function textOf(bytes: string): string {
  if (ASCII.test(bytes)) return bytes;
  const text = Buffer.from(bytes, 'latin1').toString('utf8');
  if (text.includes(REPLACEMENT)) fail(EILSEQ, 'name');
  return text;
}

/** Directory and last name of an absolute path that is not the root. */
export function splitPath(path: string): readonly [string, string] {
  const slash = path.lastIndexOf('/');
  return [slash <= 0 ? '/' : path.slice(0, slash), path.slice(slash + 1)];
}
