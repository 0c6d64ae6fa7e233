import type { EndpointTraits } from "../objects/objects.ts";

/** State of an endpoint in the words of this program, for people. */
export type EndpointState = "ready" | "terminating, still serving" | "terminating" | "not ready";

export function endpointState(
  { ready, serving, terminating }: Pick<EndpointTraits, "ready" | "serving" | "terminating">,
): EndpointState {
  if (ready) return "ready";
  if (terminating) return serving ? "terminating, still serving" : "terminating";
  return "not ready";
}
