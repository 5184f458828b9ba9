/** Pseudo-random numbers that are the same in every run: fixtures and access patterns must not change the result. */

export interface Random {
  /** An integer in [0, limit). */
  below(limit: number): number;
  /** A number in [0, 1). */
  unit(): number;
}

export function createRandom(seed: number): Random {
  let state = seed >>> 0;
  const unit = (): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  };
  return { unit, below: (limit) => Math.floor(unit() * limit) };
}

/** The items in an order that is always the same and unrelated to any directory order. */
export function shuffled<T>(items: readonly T[], seed: number): T[] {
  const random = createRandom(seed);
  const result = [...items];
  for (let i = result.length - 1; i > 0; i--) {
    const j = random.below(i + 1);
    [result[i], result[j]] = [result[j]!, result[i]!];
  }
  return result;
}
