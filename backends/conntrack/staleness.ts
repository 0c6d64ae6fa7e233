import type { RelaySocket } from "../../core/backend/follower.ts";
import type { Endpoint, ServicePortPlan } from "../../core/plan/plan.ts";
import type { Flow } from "./flow.ts";
import { IPPROTO_UDP } from "../../ffi/inet.ts";

/**
 * The reason why a flow is stale:
 * - "endpoint gone": it is translated to a socket that is no longer an endpoint of the frontend;
 * - "untranslated": it is older than the frontend, so it is not translated.
 */
export type Staleness = "endpoint gone" | "untranslated";

/**
 * Decides whether a flow to a frontend contradicts the rules (docs/conntrack.md). Rules see only the first packet of a
 * flow. The kernel handles later packets by the conntrack entry.
 * @param owner the service port that owns the frontend; undefined if none does any more.
 * @param relaySockets where a relay of this process accepts flows of services that have endpoints.
 * @returns undefined if the flow is not stale.
 */
export function stalenessOf(
  flow: Omit<Flow, "payload">,
  owner: ServicePortPlan | undefined,
  relaySockets: readonly RelaySocket[] = [],
): Staleness | undefined {
  const isUdp = flow.protocol === IPPROTO_UDP;
  if (owner !== undefined) {
    const lists = isUdp ? [owner.servingEndpoints] : [owner.clusterEndpoints, owner.localEndpoints];
    if (lists.some((endpoints) => endpoints.some((endpoint) => isRepliedBy(flow, endpoint)))) {
      return undefined;
    }
    const isRelayed = owner.clusterEndpoints.length > 0 || owner.localEndpoints.length > 0;
    if (isRelayed && relaySockets.some((socket) => isRepliedBy(flow, socket))) return undefined;
  }
  const isTranslated = flow.replySource !== flow.destination || flow.replySourcePort !== flow.destinationPort;
  // A TCP connection ends by itself, and may outlive the membership of its endpoint. An attempt that nobody has answered
  // does not: the client repeats it, and each time the entry lives on.
  if (isTranslated) return isUdp || !flow.hasReplied ? "endpoint gone" : undefined;
  if (owner === undefined) return undefined;
  // A virtual switch that tracks in its own zone sees flows before they are translated.
  if (flow.zone !== 0) return undefined;
  return isUdp || !flow.hasReplied ? "untranslated" : undefined;
}

function isRepliedBy(
  flow: Pick<Flow, "replySource" | "replySourcePort">,
  socket: RelaySocket | Endpoint,
): boolean {
  return socket.port === flow.replySourcePort && socket.address === flow.replySource;
}
