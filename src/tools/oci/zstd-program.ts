/** Compression by the program `zstd`, for Node.js versions without it: no library offers it without a compiler or a download. */
import { spawn } from 'node:child_process';
import { Transform, type TransformCallback } from 'node:stream';
import { UserError } from '../../overlay/user-error.js';

/** One thread: the same input gives the same bytes on every machine. */
const ARGUMENTS = ['-q', '-3', '-T1', '-c', '-'];

/** A stream that compresses, and ends only when the program has exited successfully. */
export class ZstdProgram extends Transform {
  readonly #child = spawn('zstd', ARGUMENTS, { stdio: ['pipe', 'pipe', 'ignore'] });
  #flushed: TransformCallback | null = null;

  constructor() {
    super();
    const { stdin, stdout } = this.#child;
    stdout.on('data', (chunk: Buffer) => {
      if (!this.push(chunk)) stdout.pause();
    });
    // Its end is what counts.
    stdin.on('error', () => {});
    this.#child.on('error', (error) => this.destroy(explained(error)));
    this.#child.on('close', (code, signal) => this.#ended(code ?? signal));
  }

  #ended(how: number | string | null): void {
    if (how === 0 && this.#flushed !== null) this.#flushed();
    else this.destroy(new UserError(`the program zstd failed (${how ?? 'unknown'}).`));
  }

  override _read(size: number): void {
    this.#child.stdout.resume();
    super._read(size);
  }

  override _transform(chunk: Buffer, _encoding: string, done: TransformCallback): void {
    const { stdin } = this.#child;
    if (stdin.write(chunk)) done();
    else stdin.once('drain', () => done());
  }

  override _flush(done: TransformCallback): void {
    this.#flushed = done;
    this.#child.stdin.end();
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    this.#child.kill();
    done(error);
  }
}

function explained(error: Error): Error {
  if (!('code' in error) || error.code !== 'ENOENT') return error;
  return new UserError(
    `zstd needs Node.js 22.15 or newer (this is ${process.version}) or the program zstd; install it, or choose gzip or none.`,
  );
}
