import type { EndpointChoice, TraceOutcome } from "./trace/trace.ts";

/** "one of 2 endpoints, which see an address of this node", "rejected with an ICMP error" */
export function describeOutcome(outcome: TraceOutcome): string {
  switch (outcome.verdict) {
    case "balanced":
      return describeChoices(outcome.choices);
    case "rejected":
      return "rejected with an ICMP error";
    case "dropped":
      return "dropped without an answer";
    case "passed":
      return "not a service: routed as it is";
  }
}

function describeChoices(choices: readonly EndpointChoice[]): string {
  const count = choices.length === 1 ? "the only endpoint" : `one of ${choices.length} endpoints`;
  const sees = choices.length === 1 ? "which sees" : "which see";
  const sources = new Set(choices.map(({ source }) => source));
  const source = sources.size > 1
    ? "the client's address or one of this node"
    : sources.has("node")
    ? "an address of this node"
    : "the client's address";
  const stopped = choices.filter((choice) => choice.stopped !== undefined).length;
  return `${count}, ${sees} ${source}${stopped === 0 ? "" : `; ${stopped} are stopped on the way`}`;
}
