/** Settings for yargs, and its messages in our style. */

/** Where yargs looks for a configuration file; by default the working directory, which may be gone. */
export const YARGS_CWD = '/';

const BAD_CHOICE = /^Invalid values:\s+Argument: ([\w-]+), Given: (.*), Choices: (.*)$/s;

/** Width of a help text in columns: that of the terminal, up to a width that is easy to read. */
export function helpWidth(): number {
  return Math.min(process.stdout.columns || 110, 110);
}

/** An option as it is typed. */
function dashed(name: string): string {
  return name.length === 1 ? `-${name}` : `--${name}`;
}

/** An error message of yargs as part of a sentence. */
export function asClause(message: string): string {
  const [, option, given, choices] = BAD_CHOICE.exec(message) ?? [];
  const [, valueless] = /^Not enough arguments following: (\S+)$/.exec(message) ?? [];
  if (valueless !== undefined) return `${dashed(valueless)} needs a value`;
  if (option !== undefined) return `${dashed(option)} takes one of ${choices}, not ${given}`;
  return `${message.charAt(0).toLowerCase()}${message.slice(1).replace(/\s*\n\s*/g, ' ')}`;
}

/** A description for yargs, which wraps lines itself: of the line breaks in the source only empty lines are kept. */
export function asParagraphs(text: string): string {
  return text.replace(/(?<!\n)\n(?!\n)/g, ' ');
}

/**
 * Words after `--` are paths, whatever they begin with. yargs does not accept them as arguments of a command, so they are passed to
 * it like other words.
 */
export function withPlainPaths(words: readonly string[]): string[] {
  const at = words.indexOf('--');
  if (at < 0) return [...words];
  const paths = words.slice(at + 1).map((word) => (/^-./.test(word) ? `./${word}` : word));
  return [...words.slice(0, at), ...paths];
}

/**
 * Error messages of yargs about a command line. yargs continues after an error, and an unknown option explains more than the
 * argument that is missing because it was taken for that option's value.
 */
export class Complaints {
  readonly #messages: string[] = [];

  /** For `fail()` of yargs. Rethrows an error unless it is one of yargs. */
  readonly add = (message: string, error: Error | undefined): void => {
    if (error && error.name !== 'YError') throw error;
    this.#messages.push(message);
  };

  /** The message to print; null: there is none, and the command may run. */
  get worst(): string | null {
    return (
      this.#messages.find((message) => message.startsWith('Unknown argument')) ?? this.#messages[0] ?? null
    );
  }
}
