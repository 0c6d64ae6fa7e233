import type { Endpoint, ServicePortPlan } from "../../core/plan/plan.ts";
import type { Flow } from "./flow.ts";
import { IPPROTO_UDP } from "../../ffi/inet.ts";

/**
 * Why a flow must go:
 * - "endpoint gone": it is translated to what is no endpoint of the frontend any more;
 * - "untranslated": it was there before the frontend was, so that nothing translates it now.
 */
export type Staleness = "endpoint gone" | "untranslated";

/**
 * Whether a flow to a frontend is in the way of what the rules would do with it (docs/conntrack.md). Rules see only
 * the first packet of a flow; the kernel treats the others by its entry.
 * @param holder whose frontend it is; undefined when it is nobody's any more.
 */
export function stalenessOf(
  flow: Omit<Flow, "payload">,
  holder: ServicePortPlan | undefined,
): Staleness | undefined {
  const isUdp = flow.protocol === IPPROTO_UDP;
  if (holder !== undefined) {
    const endpoints = isUdp ? holder.servingEndpoints : holder.clusterEndpoints;
    if (endpoints.some((endpoint) => isRepliedBy(flow, endpoint))) return undefined;
  }
  const isTranslated = flow.replySource !== flow.destination || flow.replySourcePort !== flow.destinationPort;
  // A connection has an end of its own, and what it is used for may outlive its endpoint's membership.
  if (isTranslated) return isUdp ? "endpoint gone" : undefined;
  if (holder === undefined) return undefined;
  // A virtual switch that tracks in a zone of its own sees flows before they are translated.
  if (flow.zone !== 0) return undefined;
  return isUdp || !flow.hasReplied ? "untranslated" : undefined;
}

function isRepliedBy(flow: Pick<Flow, "replySource" | "replySourcePort">, endpoint: Endpoint): boolean {
  return endpoint.port === flow.replySourcePort && endpoint.address === flow.replySource;
}
