/**
 * A child process that works on a mount for a test: requests and replies are JSON lines on stdin and stdout.
 * The test process itself stays away from mounts, so that a mount that hangs can't hang the test.
 */
import { createInterface } from 'node:readline';
import { closeMachine, openMachine, step } from './machine.js';
import { type Snapshot, type SnapshotOptions, snapshot } from './snapshot.js';

/** Runs `steps` in `directory`; after each (or only after the last) records `directory` and `upper`. */
export interface StepsRequest {
  readonly do: 'steps';
  readonly directory: string;
  readonly steps: readonly string[];
  /** The raw upper layer, to be recorded as well. */
  readonly upper: string | null;
  readonly look: 'each' | 'last' | 'never';
  readonly now: number;
}

export interface SnapshotRequest {
  readonly do: 'snapshot';
  readonly directory: string;
  readonly options: SnapshotOptions;
}

/** Result of one step. */
export interface StepReport {
  readonly result: string;
  readonly merged?: Snapshot;
  readonly upper?: Snapshot;
}

export type AgentRequest = StepsRequest | SnapshotRequest;
export type AgentReply = { ok: StepReport[] } | { ok: Snapshot } | { error: string };

/** Executes a {@link StepsRequest}. */
function runSteps(request: StepsRequest): StepReport[] {
  const { directory, upper, now, look, steps } = request;
  const machine = openMachine(directory, now);
  const reports: StepReport[] = [];
  const inodes = new Map<string, string>();
  if (look === 'each') snapshot(directory, { now, view: 'merged', inodes });
  try {
    steps.forEach((text, i) => {
      const result = step(machine, text);
      const wanted = look === 'each' || (look === 'last' && i === steps.length - 1);
      // A step may have changed the identity: look as root.
      if (!wanted || machine.user !== null) reports.push({ result });
      else {
        const merged = snapshot(directory, { now, view: 'merged', inodes });
        reports.push(
          upper === null
            ? { result, merged }
            : { result, merged, upper: snapshot(upper, { now, view: 'layer' }) },
        );
      }
    });
  } finally {
    closeMachine(machine);
  }
  return reports;
}

function answer(request: AgentRequest): AgentReply {
  try {
    if (request.do === 'snapshot') return { ok: snapshot(request.directory, request.options) };
    return { ok: runSteps(request) };
  } catch (error) {
    return { error: error instanceof Error ? (error.stack ?? error.message) : String(error) };
  }
}

createInterface({ input: process.stdin }).on('line', (line) => {
  process.stdout.write(`${JSON.stringify(answer(JSON.parse(line) as AgentRequest))}\n`);
});
