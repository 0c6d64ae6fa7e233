import { type Agent, isAnswered, type Outcome, type Target } from "./agent.ts";
import { beforeNextLook, slowness } from "./pace.ts";

/** New connections, one after the other, until it is stopped. */
export class Traffic {
  readonly #outcomes: Outcome[] = [];
  readonly #done: Promise<void>;
  readonly #began = performance.now();
  #stopped = false;

  /** @param pauseMs after each `times` connections, where the process under test needs the processor. */
  constructor(client: Agent, target: Target, options: { readonly times: number; readonly pauseMs: number }) {
    this.#done = this.#run(client, target, options);
  }

  async stop(): Promise<TrafficReport> {
    this.#stopped = true;
    await this.#done;
    return {
      connections: this.#outcomes.length,
      failures: this.#outcomes.filter((outcome) => !isAnswered(outcome)),
      perConnectionMs: (performance.now() - this.#began) / this.#outcomes.length,
      slowestMs: Math.max(...this.#outcomes.filter(isAnswered).map(({ ms }) => ms)),
    };
  }

  async #run(
    client: Agent,
    target: Target,
    { times, pauseMs }: { times: number; pauseMs: number },
  ): Promise<void> {
    while (!this.#stopped) {
      // Two at a time: the next is under way while the last one's answer is.
      this.#outcomes.push(...await client.probe(target, { times, parallel: 2 }));
      if (pauseMs > 0) await new Promise((resolve) => setTimeout(resolve, pauseMs));
    }
  }
}

export interface TrafficReport {
  readonly connections: number;
  readonly failures: readonly Outcome[];
  /** Mean time from one connection to the next. */
  readonly perConnectionMs: number;
  readonly slowestMs: number;
}

/** Waits until a connection is answered. */
export async function answered(client: Agent, target: Target, withinMs = 30_000 * slowness): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const [outcome] = await client.probe(target, { timeoutMs: 100 * slowness });
    if (outcome !== undefined && isAnswered(outcome)) return;
    if (performance.now() > deadline) throw new Error(`${target.to} is not answered: ${outcome?.outcome}`);
    await beforeNextLook(5);
  }
}

/** The pod that answered, or what came instead of an answer. */
export function podOf(outcome: Outcome): string {
  return isAnswered(outcome) ? outcome.pod : outcome.outcome;
}
