/**
 * What the oracle runs: a layer stack and steps, as data. In steps, `/@` is the scenario's directory as a path from the
 * root of a layer, for redirects.
 */

export interface Scenario {
  /** Lower layers, top first, as steps that build them; one empty layer when left out. */
  readonly lower?: readonly (readonly string[])[];
  /** How many of the lowest lowers are data-only layers. */
  readonly data?: number;
  readonly upper?: readonly string[];
  readonly steps: readonly string[];
  /** Mount options, e.g. `redirect_dir=on`. */
  readonly options?: readonly string[];
  /** Look at both sides after every step (the default), only after the last, or not at all (only compare results). */
  readonly look?: 'each' | 'last' | 'never';
  /** Steps that build layers may fail: they are random. */
  readonly lenient?: boolean;
}

export type Scenarios = Readonly<Record<string, Scenario>>;
