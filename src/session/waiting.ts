/** A promise that is settled from outside. */

/** A promise with the means to settle it. */
export interface Waiting<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: Error): void;
}

/** Makes one; a rejection that nobody awaits is not an error. */
export function waiting<T>(): Waiting<T> {
  let resolve!: (value: T) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<T>((yes, no) => {
    resolve = yes;
    reject = no;
  });
  promise.catch(() => {}); // may be rejected before anyone awaits it
  return { promise, resolve, reject };
}
