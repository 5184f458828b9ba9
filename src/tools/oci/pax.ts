/** pax records: tar's extension for what does not fit a header. Text is latin1, one char a byte. */

/** Records as the data of a pax header. */
export function encodePax(records: ReadonlyMap<string, string>): Buffer {
  let text = '';
  for (const [key, value] of records) {
    const rest = ` ${key}=${value}\n`;
    // The length counts its own digits.
    let length = rest.length + String(rest.length).length;
    if (String(length).length !== String(rest.length).length) length = rest.length + String(length).length;
    text += length + rest;
  }
  return Buffer.from(text, 'latin1');
}

const MAP = 'GNU.sparse.map';

/** Reads the data of a pax header. Throws an Error when it is malformed. */
export function decodePax(data: Buffer): Record<string, string> {
  const records: Record<string, string> = Object.create(null) as Record<string, string>;
  for (let at = 0; at < data.length; ) {
    const space = data.indexOf(0x20, at);
    const length = space < 0 ? Number.NaN : Number(data.latin1Slice(at, space));
    const end = at + length;
    if (!Number.isInteger(length) || end > data.length || end <= space || data[end - 1] !== 0x0a) {
      throw new Error('malformed pax header');
    }
    const record = data.latin1Slice(space + 1, end - 1);
    const equals = record.indexOf('=');
    if (equals <= 0) throw new Error('malformed pax header');
    const key = record.slice(0, equals);
    const value = record.slice(equals + 1);
    // GNU's sparse format 0.0 has a pair of records for each run: as 0.1 has them, in one.
    const run = key === 'GNU.sparse.offset' || key === 'GNU.sparse.numbytes';
    const map = records[MAP];
    if (!run) records[key] = value;
    else records[MAP] = map === undefined ? value : `${map},${value}`;
    at = end;
  }
  return records;
}

/** A time in pax form: seconds with as many decimals as needed. */
export function paxTime(sec: number, nsec: number): string {
  const total = BigInt(sec) * 1_000_000_000n + BigInt(nsec);
  const size = total < 0n ? -total : total;
  const decimals = String(size % 1_000_000_000n)
    .padStart(9, '0')
    .replace(/0+$/, '');
  return `${total < 0n ? '-' : ''}${size / 1_000_000_000n}${decimals === '' ? '' : `.${decimals}`}`;
}

/** The reverse; null for anything that is not a number. */
export function parsePaxTime(text: string): { sec: number; nsec: number } | null {
  const match = /^(-?)(\d{1,15})(?:\.(\d+))?$/.exec(text);
  if (match === null) return null;
  const part = BigInt((match[3] ?? '').slice(0, 9).padEnd(9, '0'));
  const size = BigInt(match[2]!) * 1_000_000_000n + part;
  const total = match[1] === '-' ? -size : size;
  const nsec = ((total % 1_000_000_000n) + 1_000_000_000n) % 1_000_000_000n;
  return { sec: Number((total - nsec) / 1_000_000_000n), nsec: Number(nsec) };
}
