import type { Family } from "../../core/net/protocol.ts";
import { type Answered, isAnswered, type Outcome, type Target } from "../lab/agent.ts";
import { isNodeAddress, isPodOfNode, type MachineName, machines } from "../lab/topology.ts";
import type { ExpectSpec } from "./scenario.ts";

/** What one client saw at one frontend. */
export interface Observation {
  readonly from: MachineName;
  readonly family: Family;
  readonly target: Target;
  readonly outcomes: readonly Outcome[];
}

/** Pods by the names that `as` gave them, for each client and for the last one. */
export class Remembered {
  readonly #pods = new Map<string, string>();

  note(name: string, { from, family, outcomes: [first] }: Observation): void {
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
 * What is not as expected, in words; undefined when all is.
 * @param balancesSockets see Subject: nobody masquerades pods of this node.
 */
export function complain(
  observations: readonly Observation[],
  spec: ExpectSpec,
  remembered: Remembered,
  balancesSockets = false,
): string | undefined {
  for (const observation of observations) {
    const isOwn = spec.source === "node" && balancesSockets && isPodOfNode(observation.from);
    const complaint = complainOfOne(observation, isOwn ? { ...spec, source: "client" } : spec, remembered);
    if (!complaint) continue;
    const { from, target: { to, port, protocol }, outcomes } = observation;
    return `${from} to ${spec.to} (${to} port ${port}/${protocol}): ${complaint}; seen: ${summary(outcomes)}`;
  }
  const [, forgotten] = /^not same as (.*)$/.exec(String(spec.reaches)) ?? [];
  if (forgotten === undefined) return undefined;
  const isOther = observations.some((seen) =>
    !seen.outcomes.every(isFrom(remembered.podOf(forgotten, seen) ?? ""))
  );
  return isOther ? undefined : `every client of ${spec.to} is where it was: expected some of them elsewhere`;
}

/** `pod` or `pod:port`. */
export function isFrom(expected: string): (outcome: Outcome) => boolean {
  return (outcome) =>
    isAnswered(outcome) && (expected === outcome.pod || expected === `${outcome.pod}:${outcome.port}`);
}

/** "pod-a:8080 seeing 192.168.8.9 (12 times), refused (2 times)" */
export function summary(outcomes: readonly Outcome[]): string {
  const seen = outcomes.map((outcome) =>
    isAnswered(outcome) ? `${outcome.pod}:${outcome.port} seeing ${outcome.source}` : outcome.outcome
  );
  return [...new Set(seen)]
    .map((what) => `${what} (${seen.filter((other) => other === what).length} times)`)
    .join(", ");
}

function complainOfOne(seen: Observation, spec: ExpectSpec, remembered: Remembered): string | undefined {
  if (spec.answer !== undefined) return complainOfAnswer(seen.outcomes, spec.answer);
  if (!seen.outcomes.every(isAnswered)) return "expected an answer every time";
  return complainOfPods(seen, spec, remembered) ??
    (spec.spread && complainOfSpread(seen.outcomes, spec)) ??
    complainOfSource(seen.outcomes, seen, spec);
}

function complainOfAnswer(
  outcomes: readonly Outcome[],
  answer: "none" | "refused" | "dropped",
): string | undefined {
  const expected = { none: ["refused", "timeout"], refused: ["refused"], dropped: ["timeout"] }[answer];
  const asExpected = outcomes.every((outcome) => !isAnswered(outcome) && expected.includes(outcome.outcome));
  return asExpected ? undefined : `expected ${answer === "none" ? "no answer" : `it to be ${answer}`}`;
}

function complainOfPods(
  seen: Observation,
  { reaches }: ExpectSpec,
  remembered: Remembered,
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
  const pod = name && remembered.podOf(name, seen);
  return name === undefined || first.pod === pod ? undefined : `expected ${reaches} (${pod ?? "no pod"})`;
}

/** Five standard deviations from its share: met by chance once in two million. */
function complainOfSpread(outcomes: readonly Outcome[], { reaches }: ExpectSpec): string | undefined {
  const pods = Array.isArray(reaches) ? reaches : [];
  const share = outcomes.length / pods.length;
  const deviation = Math.sqrt(share * (1 - 1 / pods.length));
  const uneven = pods.find((pod) => Math.abs(outcomes.filter(isFrom(pod)).length - share) > 5 * deviation);
  return uneven && `expected ${uneven} to get its share of ${Math.round(share)}`;
}

function complainOfSource(
  answers: readonly Answered[],
  { from, family }: Observation,
  { source }: ExpectSpec,
): string | undefined {
  if (source === undefined) return undefined;
  const whose = source === "client" ? from : source;
  const isExpected = whose === "node"
    ? isNodeAddress
    : (address: string) => address === machines[whose].addresses[family];
  const asExpected = answers.every((answer) => isExpected(answer.source));
  return asExpected ? undefined : `expected the pods to see the address of ${whose}`;
}
