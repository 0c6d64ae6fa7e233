import type { Family } from "../../../core/net/protocol.ts";
import { type Answered, isAnswered, type Outcome, type Target } from "../../lab/agent.ts";
import { isNodeAddress, isPodOfNode, type MachineName, machines } from "../../lab/topology.ts";
import type { ExpectSpec } from "../format/scenario.ts";
import type { Subject } from "../subjects/subject.ts";

/** Outcomes of the connections of one client to one frontend. */
export interface Observation {
  readonly from: MachineName;
  readonly family: Family;
  readonly target: Target;
  readonly outcomes: readonly Outcome[];
}

/** Pods by the names that `as` gave them, per client and for the most recent client. */
export class NamedPods {
  readonly #pods = new Map<string, string>();

  set(name: string, { from, family, outcomes: [first] }: Observation): void {
    if (first && isAnswered(first)) {
      this.#pods.set(name, first.pod).set(`${name} ${from} ${family}`, first.pod);
    }
  }

  pod(name: string): string | undefined {
    return this.#pods.get(name);
  }

  podOf(name: string, { from, family }: Observation): string | undefined {
    return this.#pods.get(`${name} ${from} ${family}`);
  }
}

/**
 * Describes the first observation that does not match the expectation; undefined if all match.
 * @param subject If `balancesSockets`, pods of this node are never masqueraded; if `relays`, everybody is.
 */
export function findMismatch(
  observations: readonly Observation[],
  spec: ExpectSpec,
  named: NamedPods,
  subject: Partial<Pick<Subject, "balancesSockets" | "relays">> = {},
): string | undefined {
  for (const observation of observations) {
    const mismatch = mismatchOf(observation, withSourceIn(subject, observation, spec), named);
    if (!mismatch) continue;
    const { from, target: { to, port, protocol }, outcomes } = observation;
    return `${from} to ${spec.to} (${to} port ${port}/${protocol}): ${mismatch}; seen: ${summary(outcomes)}`;
  }
  const [, name] = /^not same as (.*)$/.exec(String(spec.reaches)) ?? [];
  if (name === undefined) return undefined;
  const hasMoved = observations.some((seen) => !seen.outcomes.every(isFrom(named.podOf(name, seen) ?? "")));
  return hasMoved
    ? undefined
    : `every client of ${spec.to} reaches the same pod as before: expected some to move`;
}

/** The expectation with the source that endpoints see in the mode of the subject. */
function withSourceIn(
  { balancesSockets, relays }: Partial<Pick<Subject, "balancesSockets" | "relays">>,
  { from, target, outcomes }: Observation,
  spec: ExpectSpec,
): ExpectSpec {
  if (spec.source === "node" && balancesSockets && isPodOfNode(from)) return { ...spec, source: "client" };
  // A connection that no service translates is not relayed. Frontends and endpoints have different ports.
  const isDirect = outcomes.every((outcome) => isAnswered(outcome) && outcome.port === target.port);
  return spec.source !== undefined && relays && !isDirect ? { ...spec, source: "node" } : spec;
}

/** Matches answers of `pod` or `pod:port`. */
export function isFrom(expected: string): (outcome: Outcome) => boolean {
  return (outcome) =>
    isAnswered(outcome) && (expected === outcome.pod || expected === `${outcome.pod}:${outcome.port}`);
}

/** Summarises outcomes: "pod-a:8080 seeing 192.168.8.9 (12 times), refused (2 times)". */
export function summary(outcomes: readonly Outcome[]): string {
  const seen = outcomes.map((outcome) =>
    isAnswered(outcome) ? `${outcome.pod}:${outcome.port} seeing ${outcome.source}` : outcome.outcome
  );
  return [...new Set(seen)]
    .map((outcome) => `${outcome} (${seen.filter((other) => other === outcome).length} times)`)
    .join(", ");
}

function mismatchOf(seen: Observation, spec: ExpectSpec, named: NamedPods): string | undefined {
  if (spec.answer !== undefined) return answerMismatch(seen.outcomes, spec.answer);
  if (!seen.outcomes.every(isAnswered)) return "expected an answer every time";
  return podMismatch(seen, spec, named) ??
    (spec.spread && spreadMismatch(seen.outcomes, spec)) ??
    sourceMismatch(seen.outcomes, seen, spec);
}

function answerMismatch(
  outcomes: readonly Outcome[],
  answer: "none" | "refused" | "dropped",
): string | undefined {
  const expected = { none: ["refused", "timeout"], refused: ["refused"], dropped: ["timeout"] }[answer];
  const asExpected = outcomes.every((outcome) => !isAnswered(outcome) && expected.includes(outcome.outcome));
  return asExpected ? undefined : `expected ${answer === "none" ? "no answer" : `it to be ${answer}`}`;
}

function podMismatch(
  seen: Observation,
  { reaches }: ExpectSpec,
  named: NamedPods,
): string | undefined {
  const { outcomes } = seen;
  if (Array.isArray(reaches)) {
    const isExact = reaches.every((pod) => outcomes.some(isFrom(pod))) &&
      outcomes.every((outcome) => reaches.some((pod) => isFrom(pod)(outcome)));
    return isExact ? undefined : `expected ${reaches.join(" and ")}`;
  }
  const [first] = outcomes;
  const isOne = first !== undefined && isAnswered(first) && outcomes.every(isFrom(first.pod));
  if (!isOne) return "expected the same pod every time";
  const [, name] = /^same as (.*)$/.exec(String(reaches)) ?? [];
  const pod = name && named.podOf(name, seen);
  return name === undefined || first.pod === pod ? undefined : `expected ${reaches} (${pod ?? "no pod"})`;
}

/** Allows five standard deviations from the even share, which chance exceeds once in two million cases. */
function spreadMismatch(outcomes: readonly Outcome[], { reaches }: ExpectSpec): string | undefined {
  const pods = Array.isArray(reaches) ? reaches : [];
  const share = outcomes.length / pods.length;
  const deviation = Math.sqrt(share * (1 - 1 / pods.length));
  const uneven = pods.find((pod) => Math.abs(outcomes.filter(isFrom(pod)).length - share) > 5 * deviation);
  return uneven && `expected ${uneven} to get its share of ${Math.round(share)}`;
}

function sourceMismatch(
  answers: readonly Answered[],
  { from, family }: Observation,
  { source }: ExpectSpec,
): string | undefined {
  if (source === undefined) return undefined;
  const owner = source === "client" ? from : source;
  const isExpected = owner === "node"
    ? isNodeAddress
    : (address: string) => address === machines[owner].addresses[family];
  const asExpected = answers.every((answer) => isExpected(answer.source));
  return asExpected ? undefined : `expected the pods to see the address of ${owner}`;
}
