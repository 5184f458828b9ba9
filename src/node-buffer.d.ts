/** Buffer methods of Node that its types leave out: latin1 text without encoding look-up. */
interface Buffer {
  latin1Slice(start?: number, end?: number): string;
  latin1Write(text: string, offset?: number, length?: number): number;
}
