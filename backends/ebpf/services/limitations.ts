import type { Limitation } from "../../../core/plan/limitation.ts";
import { proxyProtocolLimitations } from "../../proxy_protocol.ts";
import { formatAddress } from "../../../core/net/address.ts";
import { describeFrontend, type DesiredState, type ServicePortPlan } from "../../../core/plan/plan.ts";

/** Returns the parts of a plan that this mode does not serve. */
export function limitationsOf(plan: ServicePortPlan): readonly Limitation[] {
  return plan.protocol === "SCTP" ? [...sctpPorts(plan)] : proxyProtocolLimitations(plan);
}

/** A service port in force is balanced at random, because there is no room for the table that it asks for. */
export const NO_ROOM_FOR_TABLE: Limitation = {
  cause: "no-room-for-table",
  text:
    "it is balanced at random on this node and without weights, because there is no room for its Maglev or weight table",
  advice:
    "Use fewer annotations proxy/balancing and proxy/weight in the namespace, or have the operator of the nodes " +
    "increase --ebpf-max-endpoints",
};

/** The programs cannot change a port of SCTP, because its checksum covers the whole packet. */
function* sctpPorts(
  { protocol, frontends, clusterEndpoints, localEndpoints }: ServicePortPlan,
): Generator<Limitation> {
  const endpoints = [...clusterEndpoints, ...localEndpoints];
  const differs = frontends.filter(({ port }) => endpoints.some((endpoint) => endpoint.port !== port));
  if (differs.length === 0) return;
  const ports = [...new Set(endpoints.map(({ port }) => port))].slice(0, MAX_LISTED).join(", ");
  const listed = differs.slice(0, MAX_LISTED).map((frontend) => describeFrontend(frontend, protocol)).join(
    ", ",
  );
  const more = differs.length > MAX_LISTED ? `, and ${differs.length - MAX_LISTED} more` : "";
  yield {
    cause: "sctp-port-differs",
    text:
      `mode ebpf rejects SCTP connections to ${listed}${more} that would get another port at the endpoint ` +
      `(${ports}), because the checksum of SCTP covers the whole packet`,
    advice:
      "Use the same number for port and targetPort. Node ports of SCTP need another mode, or a targetPort in " +
      "the range of node ports",
  };
}

/** Warnings about ClusterIPs that are addresses of this node: a program of the node expects their traffic. */
export function warningsOf({ settings, plans }: DesiredState): readonly string[] {
  const own = new Set(settings.flatMap(({ interfaceAddresses }) => interfaceAddresses));
  const warnings = new Map<string, string>();
  for (const { frontends, namespace, name } of plans.values()) {
    for (const frontend of frontends) {
      if (frontend.kind !== "ClusterIP" || !own.has(frontend.address)) continue;
      const address = formatAddress(frontend.address);
      warnings.set(
        address,
        `ClusterIP ${address} of Service ${namespace}/${name} is also an address of this node, as NodeLocal DNSCache ` +
          "has it. Mode ebpf sends connections to it to the endpoints, so that the program of the node does not get " +
          "them: have clients use its other address (docs/other-programs.md#nodelocal-dnscache-in-mode-ebpf)",
      );
    }
  }
  return [...warnings.values()].slice(0, MAX_LISTED);
}

/** Ports or addresses that a message lists. */
const MAX_LISTED = 4;
