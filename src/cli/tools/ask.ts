/** A question on the terminal. */
import { createInterface } from 'node:readline';

/** Whether there is somebody to ask: the question goes to stderr, the answer comes from stdin. */
export function canAsk(): boolean {
  return process.stdin.isTTY === true && process.stderr.isTTY === true;
}

/** One line; null when the terminal is gone, or by Ctrl-C, Ctrl-D or a signal that would end the process. */
function askLine(question: string): Promise<string | null> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const signals = ['SIGTERM', 'SIGHUP'] as const;
  return new Promise((resolve) => {
    const close = (): void => terminal.close();
    for (const signal of signals) process.on(signal, close);
    terminal.on('SIGINT', close);
    // After an answer this has no effect.
    terminal.on('close', () => {
      for (const signal of signals) process.off(signal, close);
      resolve(null);
    });
    terminal.question(question, (answer) => {
      resolve(answer);
      terminal.close();
    });
  });
}

/** Asks until the answer is (the start of) one of `words`. An empty answer, or none, is `otherwise`. */
export async function ask<T extends string>(question: string, words: readonly T[], otherwise: T): Promise<T> {
  for (;;) {
    const line = await askLine(question);
    if (line === null) process.stderr.write('\n');
    const answer = (line ?? '').trim().toLowerCase();
    if (answer === '') return otherwise;
    const chosen = words.find((word) => word.startsWith(answer));
    if (chosen !== undefined) return chosen;
    process.stderr.write(`The answers are: ${words.join(', ')}.\n`);
  }
}
