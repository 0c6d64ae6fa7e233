import { type Agent, isAnswered, type Outcome, type Target } from "./agent.ts";
import { pollPause, slowness } from "./pace.ts";

/** Makes new connections continuously until it is stopped. */
export class Traffic {
  readonly #outcomes: Outcome[] = [];
  readonly #done: Promise<void>;
  readonly #startedAt = performance.now();
  #stopped = false;

  /** @param options `pauseMs` is a pause after each `times` connections, for the process under test. */
  constructor(client: Agent, target: Target, options: { readonly times: number; readonly pauseMs: number }) {
    this.#done = this.#run(client, target, options);
  }

  async stop(): Promise<TrafficReport> {
    this.#stopped = true;
    await this.#done;
    return {
      connections: this.#outcomes.length,
      failures: this.#outcomes.filter((outcome) => !isAnswered(outcome)),
      perConnectionMs: (performance.now() - this.#startedAt) / this.#outcomes.length,
      slowestMs: Math.max(...this.#outcomes.filter(isAnswered).map(({ ms }) => ms)),
    };
  }

  async #run(
    client: Agent,
    target: Target,
    { times, pauseMs }: { times: number; pauseMs: number },
  ): Promise<void> {
    while (!this.#stopped) {
      // Two at a time, so that the next connection starts while the previous answer is in flight.
      this.#outcomes.push(...await client.probe(target, { times, parallel: 2 }));
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

export interface TrafficReport {
  readonly connections: number;
  readonly failures: readonly Outcome[];
  /** Mean interval between two connections. */
  readonly perConnectionMs: number;
  readonly slowestMs: number;
}

/** Waits until a connection to the target is answered. */
export async function answered(client: Agent, target: Target, withinMs = 30_000 * slowness): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const [outcome] = await client.probe(target, { timeoutMs: 100 * slowness });
    if (outcome !== undefined && isAnswered(outcome)) return;
    if (performance.now() > deadline) throw new Error(`${target.to} does not answer: ${outcome?.outcome}`);
    await pollPause(5);
  }
}

/** Name of the pod that answered, or the outcome if none did. */
export function podOf(outcome: Outcome): string {
  return isAnswered(outcome) ? outcome.pod : outcome.outcome;
}
