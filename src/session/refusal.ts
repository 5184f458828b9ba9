/** Why a session could not begin, in a form that passes between threads and processes. */
import { UserError } from '../overlay/user-error.js';
import { stackOf } from './log.js';

/** A failure as plain data. */
export interface Refusal {
  /** A sentence for the user, or the stack of a bug. */
  readonly text: string;
  readonly isUserError: boolean;
}

/** A thrown value as a refusal. */
export function refusalOf(error: unknown): Refusal {
  if (error instanceof UserError) return { text: error.message, isUserError: true };
  return { text: stackOf(error), isUserError: false };
}

/** A refusal as an error to throw, on the receiving side. */
export function errorOf({ text, isUserError }: Refusal): Error {
  return isUserError ? new UserError(text) : new Error(text);
}
