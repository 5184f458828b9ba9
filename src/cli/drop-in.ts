/** The command line of mount programs: `plyfs -o options [source] mountpoint`, in any order. */
import { UsageError } from './usage-error.js';

/** A parsed command line of that form; text is latin1, one char a byte. */
export interface DropIn {
  /** Values of all `-o`, in order. */
  readonly options: string[];
  /** Everything that is not an option: source and mount point. */
  readonly positionals: string[];
  foreground: boolean;
  debug: boolean;
  help: boolean;
  version: boolean;
  logLevel: string | null;
  logFile: string | null;
}

/** Long options that take a value. */
const VALUED: Readonly<Record<string, (to: DropIn, value: string) => void>> = {
  '--log-level': (to, value) => {
    to.logLevel = value;
  },
  '--log-file': (to, value) => {
    to.logFile = value;
  },
  '--transport': (to, value) => {
    to.options.push(`transport=${value}`);
  },
  '--options': (to, value) => {
    to.options.push(value);
  },
};

const WORDS: Readonly<Record<string, (to: DropIn) => void>> = {
  '--help': (to) => {
    to.help = true;
  },
  '--version': (to) => {
    to.version = true;
  },
  '--debug': (to) => {
    to.debug = true;
  },
  '--foreground': (to) => {
    to.foreground = true;
  },
};

/** Single letters. `s` (single thread), `n` and `v` come from libfuse and mount(8) and have no effect here. */
const LETTERS: Readonly<Record<string, (to: DropIn) => void>> = {
  f: WORDS['--foreground']!,
  d: WORDS['--debug']!,
  h: WORDS['--help']!,
  V: WORDS['--version']!,
  s: () => {},
  n: () => {},
  v: () => {},
  r: (to) => {
    to.options.push('ro');
  },
  w: (to) => {
    to.options.push('rw');
  },
};

/** Parses words one after another; a value may be the rest of a word or the next word. */
class Reader {
  readonly #words: readonly string[];
  #at = 0;
  readonly to: DropIn = {
    options: [],
    positionals: [],
    foreground: false,
    debug: false,
    help: false,
    version: false,
    logLevel: null,
    logFile: null,
  };

  constructor(words: readonly string[]) {
    this.#words = words;
  }

  read(): DropIn {
    for (let word = this.#next(); word !== undefined; word = this.#next()) {
      if (word === '--') return this.#rest();
      if (word.startsWith('--')) this.#long(word);
      else if (word.startsWith('-') && word.length > 1) this.#letters(word);
      else this.to.positionals.push(word);
    }
    return this.to;
  }

  #next(): string | undefined {
    return this.#words[this.#at++];
  }

  #rest(): DropIn {
    this.to.positionals.push(...this.#words.slice(this.#at));
    return this.to;
  }

  #value(name: string): string {
    const value = this.#next();
    if (value === undefined) throw new UsageError(`the option ${name} needs a value.`);
    return value;
  }

  #long(word: string): void {
    const equals = word.indexOf('=');
    const name = equals < 0 ? word : word.slice(0, equals);
    const valued = VALUED[name];
    if (valued !== undefined) valued(this.to, equals < 0 ? this.#value(name) : word.slice(equals + 1));
    else if (equals < 0 && WORDS[name] !== undefined) WORDS[name](this.to);
    else throw new UsageError(`unknown option '${word}'.`);
  }

  #letters(word: string): void {
    for (let i = 1; i < word.length; i++) {
      const letter = word[i]!;
      if (letter === 'o') {
        this.to.options.push(i + 1 < word.length ? word.slice(i + 1) : this.#value('-o'));
        return;
      }
      const apply = LETTERS[letter];
      if (apply === undefined) throw new UsageError(`unknown option '-${letter}'.`);
      apply(this.to);
    }
  }
}

/** Parses a command line. Throws {@link UsageError}. */
export function parseDropIn(words: readonly string[]): DropIn {
  return new Reader(words).read();
}
