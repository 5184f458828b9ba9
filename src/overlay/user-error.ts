/**
 * A mistake of the user (a bad option, a missing directory). The message is one clear sentence that names the option or path and
 * says what to do. The command line prints it without a stack.
 */
export class UserError extends Error {
  override readonly name = 'UserError';
}
