/**
 * The text form of steps: words separated by spaces, the first one an operation. `%20` is the byte 0x20, `""` the
 * empty word, `x*300` three hundred times x. Everything is latin1, one char a byte, so any file name can be written.
 */

/** The words of a step, decoded. */
export function words(step: string): string[] {
  return step
    .split(' ')
    .filter((word) => word !== '')
    .map(decode);
}

export function decode(word: string): string {
  if (word === '""') return '';
  return word
    .replace(/(%[0-9a-f]{2}|[^%])\*(\d+)/g, (_, char: string, count: string) => char.repeat(Number(count)))
    .replace(/%([0-9a-f]{2})/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)));
}

/** Encodes a text as one word of a step. */
export function encode(text: string): string {
  if (text === '') return '""';
  return text.replace(/[^!$&-)+-~"]/g, (char) => `%${char.charCodeAt(0).toString(16).padStart(2, '0')}`);
}

/** Makes a text printable and unambiguous, for expectations and messages. */
export function printable(text: string): string {
  return JSON.stringify(text).replace(
    /[\u007f-\u00ff]/g,
    (char) => `\\x${char.charCodeAt(0).toString(16).padStart(2, '0')}`,
  );
}

/** Data as it appears in results: short text itself, long data as length and a repeating unit or a digest. */
export function brief(data: Buffer, digest: (data: Buffer) => string): string {
  if (data.length <= 80) return printable(data.toString('latin1'));
  return `${data.length}#${digest(data)}`;
}
