import type { Family } from "../../../core/net/protocol.ts";
import { isAnswered, type Outcome, type Target } from "../../lab/agent.ts";
import type { Lab } from "../../lab/lab.ts";
import { pollPause, repetitions, slowness } from "../../lab/pace.ts";
import { type MachineName, machines } from "../../lab/topology.ts";
import { isFrom, type Observation, summary } from "./expectation.ts";
import type { ExpectSpec, OpenSpec, ReopenSpec, SendSpec } from "../format/scenario.ts";

/** Time limit for an answer that is expected, in milliseconds. */
const ANSWERED_WITHIN_MS = 3000 * slowness;

/** Connects as often as needed to decide whether the expectation holds. */
export async function observe(
  lab: Lab,
  from: MachineName,
  family: Family,
  target: Target,
  spec: ExpectSpec,
): Promise<Observation> {
  const connect = (times: number, timeoutMs = ANSWERED_WITHIN_MS) =>
    lab.agent(from).probe(target, { times, timeoutMs, ...sourceOf(from, family) });
  if (spec.answer === undefined) {
    return { from, family, target, outcomes: await connectUntilSure(connect, spec) };
  }
  // A rejection arrives at once unless the machine is busy. If no answer is expected, every attempt waits for its
  // timeout, so the timeout is short.
  const outcomes = await connect(3, spec.answer === "refused" ? ANSWERED_WITHIN_MS : 300);
  return { from, family, target, outcomes };
}

/** Selects the source address for machines of namespace outside, which has two addresses. */
function sourceOf(from: MachineName, family: Family): { from?: string } {
  return machines[from].namespace === "outside" ? { from: machines[from].addresses[family] } : {};
}

/**
 * Connects until every expected pod has answered, or should have: the probability that a pod is missed by chance is
 * one in ten thousand million.
 */
async function connectUntilSure(
  connect: (times: number) => Promise<readonly Outcome[]>,
  { reaches, spread }: ExpectSpec,
) {
  // A single connection first, so that affinity is established before many connections are made at once.
  const outcomes: Outcome[] = [...await connect(1)];
  const pods = Array.isArray(reaches) ? reaches : [];
  const min = spread ? repetitions(600) : repetitions(10) * Math.max(pods.length, 1);
  const max = spread ? min : 80 * pods.length;
  const isSure = () =>
    outcomes.some((outcome) => !isAnswered(outcome)) ||
    outcomes.length > max ||
    (outcomes.length > min && pods.every((pod) => outcomes.some(isFrom(pod))));
  while (!isSure()) outcomes.push(...await connect(min));
  return outcomes;
}

/**
 * Time limit for a flow to follow a change. Conntrack is cleaned after the rules are in force, and packets sent
 * meanwhile are lost; TCP sends again after one, three and seven seconds. Mode ebpf sweeps sockets for at most a tenth
 * of the time, so on a slow machine a sweep of 0.6 s may come 6 s after the change.
 */
const FLOW_FOLLOWS_WITHIN_MS = 5000 * slowness;

interface Connection {
  readonly from: MachineName;
  readonly target: Target;
  /** Outcome of the first exchange. */
  first: Outcome;
}

/**
 * Reports whether the socket was ended or rejected. A socket that is ended while it waits returns ECONNABORTED and
 * then EDESTADDRREQ. A socket that was rejected and is used again returns EDESTADDRREQ.
 */
function hasNoPeer(outcome: Outcome): boolean {
  return !isAnswered(outcome) &&
    ["Software caused connection abort", "Destination address required"].includes(outcome.outcome);
}

/** The connections that a scenario keeps open. */
export class Connections {
  readonly #open = new Map<string, Connection[]>();

  /** @param balancesSockets See Subject. */
  constructor(private readonly lab: Lab, private readonly balancesSockets: boolean) {}

  async open({ as, from, answer }: OpenSpec, target: Target): Promise<void> {
    const source = sourceOf(from, target.to.includes(":") ? "IPv6" : "IPv4");
    const [first] = answer === "none"
      ? await this.lab.agent(from).probe(target, { keep: "always", timeoutMs: 300, ...source })
      : await this.lab.agent(from).probe(target, { keep: true, ...source });
    if (!first || isAnswered(first) === (answer === "none")) {
      const expected = answer === "none" ? "no answer" : "an answer";
      throw new Error(`open ${as}: expected ${expected}; seen: ${first ? summary([first]) : "nothing"}`);
    }
    this.#open.set(as, [...this.#open.get(as) ?? [], { from, target, first }]);
  }

  async send({ over, reaches, answer }: SendSpec): Promise<void> {
    const connections = this.#opened(over);
    const deadline = performance.now() + (reaches === "same" ? 0 : FLOW_FOLLOWS_WITHIN_MS);
    for (const connection of connections) {
      const { first } = connection;
      const pods = reaches !== "same" ? reaches ?? [] : isAnswered(first) ? [first.pod] : [];
      for (;;) {
        const timeoutMs = reaches === "same" ? ANSWERED_WITHIN_MS : answer === "none" ? 300 : 300 * slowness;
        const outcomes = await this.#sendOver(connection, timeoutMs, reaches !== "same");
        const asExpected = outcomes.every((outcome) =>
          answer === "none" ? !isAnswered(outcome) : pods.some((pod) => isFrom(pod)(outcome))
        );
        if (asExpected) break;
        if (performance.now() < deadline) {
          // The proxy shares the only processor of an emulated machine with this loop.
          if (slowness > 1) await pollPause(5);
          continue;
        }
        const expected = answer === "none" ? "no answer" : `an answer of ${pods.join(" or ")}`;
        throw new Error(`send over ${over}: expected ${expected}; seen: ${summary(outcomes)}`);
      }
    }
  }

  async reopen({ over, reaches }: ReopenSpec): Promise<void> {
    const connections = this.#opened(over);
    this.#open.delete(over);
    const reopened = await Promise.all(connections.map(async ({ from, target, first }) => {
      const [outcome] = await this.lab.agent(from).reopen(first.connection!, target);
      return { from, target, first: outcome! };
    }));
    this.#open.set(over, reopened);
    const outcomes = reopened.map(({ first }) => first);
    if (outcomes.every((outcome) => reaches.some((pod) => isFrom(pod)(outcome)))) return;
    throw new Error(`reopen ${over}: expected ${reaches.join(" or ")}; seen: ${summary(outcomes)}`);
  }

  async closeAll(): Promise<void> {
    for (const { from, first } of [...this.#open.values()].flat()) {
      await this.lab.agent(from).close([first.connection!]);
    }
    this.#open.clear();
  }

  /** Sends on a connection. If the proxy has ended its socket with its endpoint, opens the next one. */
  async #sendOver(connection: Connection, timeoutMs: number, mayEnd: boolean): Promise<readonly Outcome[]> {
    const { from, target, first } = connection;
    const outcomes = await this.lab.agent(from).send([first.connection!], timeoutMs);
    if (!this.balancesSockets || !mayEnd || !outcomes.some(hasNoPeer)) return outcomes;
    const reopened = await this.lab.agent(from).reopen(first.connection!, target, timeoutMs);
    connection.first = { ...first, connection: reopened[0]!.connection! };
    return reopened;
  }

  #opened(name: string): Connection[] {
    const connections = this.#open.get(name);
    if (!connections) throw new Error(`no open connection is called ${name}`);
    return connections;
  }
}
