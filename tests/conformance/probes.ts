import type { Family } from "../../core/model/objects.ts";
import { type Answered, isAnswered, type Outcome, type Target } from "../lab/agent.ts";
import type { Lab } from "../lab/lab.ts";
import { type MachineName, machines } from "../lab/topology.ts";
import { isFrom, type Observation, summary } from "./expectation.ts";
import type { ExpectSpec, SendSpec } from "./scenario.ts";

/** Connects as often as it takes to be sure whether the expectation holds. */
export async function observe(
  lab: Lab,
  from: MachineName,
  family: Family,
  target: Target,
  spec: ExpectSpec,
): Promise<Observation> {
  // Outside has two addresses, and which of them it is matters.
  const source = machines[from].namespace === "outside" ? { from: machines[from].addresses[family] } : {};
  const connect = (times: number, timeoutMs = 3000) =>
    lab.agent(from).probe(target, { times, timeoutMs, ...source });
  const outcomes = spec.answer === undefined ? await untilSure(connect, spec) : await connect(3, 300);
  return { from, family, target, outcomes };
}

/** Until every pod expected has been seen, or should have been: chance hides one once in ten thousand million. */
async function untilSure(
  connect: (times: number) => Promise<readonly Outcome[]>,
  { reaches, spread }: ExpectSpec,
) {
  // One alone first, so that affinity is settled before many come at once.
  const outcomes: Outcome[] = [...await connect(1)];
  const pods = Array.isArray(reaches) ? reaches : [];
  const least = spread ? 600 : 10 * Math.max(pods.length, 1);
  const most = spread ? least : 80 * pods.length;
  const isSure = () =>
    outcomes.some((outcome) => !isAnswered(outcome)) ||
    outcomes.length > most ||
    (outcomes.length > least && pods.every((pod) => outcomes.some(isFrom(pod))));
  while (!isSure()) outcomes.push(...await connect(least));
  return outcomes;
}

/** Connections of one scenario that stay open. */
export class Connections {
  readonly #open = new Map<string, { from: MachineName; first: Answered }[]>();

  constructor(private readonly lab: Lab) {}

  async open(name: string, from: MachineName, target: Target): Promise<void> {
    const [outcome] = await this.lab.agent(from).probe(target, { keep: true });
    if (!outcome || !isAnswered(outcome)) throw new Error(`open ${name}: ${outcome?.outcome}`);
    this.#open.set(name, [...this.#open.get(name) ?? [], { from, first: outcome }]);
  }

  async send({ over, reaches, answer }: SendSpec): Promise<void> {
    const connections = this.#open.get(over);
    if (!connections) throw new Error(`send over ${over}: no connection was opened by this name`);
    for (const { from, first } of connections) {
      const outcomes = await this.lab.agent(from).send([first.connection!], answer === "none" ? 300 : 3000);
      const pods = reaches === "same" ? [first.pod] : reaches ?? [];
      const asExpected = outcomes.every((outcome) =>
        answer === "none" ? !isAnswered(outcome) : pods.some((pod) => isFrom(pod)(outcome))
      );
      if (asExpected) continue;
      const expected = answer === "none" ? "no answer" : `an answer of ${pods.join(" or ")}`;
      throw new Error(`send over ${over}: expected ${expected}; seen: ${summary(outcomes)}`);
    }
  }

  async closeAll(): Promise<void> {
    for (const { from, first } of [...this.#open.values()].flat()) {
      await this.lab.agent(from).close([first.connection!]);
    }
    this.#open.clear();
  }
}
