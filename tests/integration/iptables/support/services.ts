import { FAMILIES, type Family } from "../../../../core/net/protocol.ts";
import { serviceAddress, type ServiceRange } from "../../../lab/topology.ts";
import { type RawEndpoint, type RawObject, type RawService, service, slice } from "./objects.ts";

/** Services together with their slices. */

export const web = { name: "", port: 80 };

export type Spec = Partial<RawService> & { readonly name: string };

/** A service, and a slice a family; IPv6 endpoints are those of IPv4 in IPv6's words. */
export function of(spec: Spec, endpoints: readonly (string | RawEndpoint)[]): readonly RawObject[] {
  const complete = { ports: [web], ...spec };
  const described = endpoints.map((endpoint) =>
    typeof endpoint === "string" ? { address: endpoint } : endpoint
  );
  return [
    service(complete),
    ...(spec.families ?? FAMILIES).map((family) =>
      slice(
        complete,
        family,
        described.map((endpoint) => ({ ...endpoint, address: inFamily(endpoint.address, family) })),
      )
    ),
  ];
}

/** Of type LoadBalancer, with an address of its own. */
export function balanced(name: string, nodePort?: number): Spec {
  return {
    name,
    type: "LoadBalancer",
    loadBalancerIPs: own("loadBalancer"),
    ports: [{ ...web, ...(nodePort !== undefined && { nodePort }) }],
  };
}

let lastOwn = 0;

/** An address of the range that no other service has, in both families. */
export function own(range: ServiceRange): readonly string[] {
  lastOwn++;
  return FAMILIES.map((family) => serviceAddress(range, family, lastOwn));
}

/** 10.244.1.11 is fd00:244:1::11. */
function inFamily(address: string, family: Family): string {
  if (family === "IPv4") return address;
  const [, , subnet, pod] = address.split(".");
  return `fd00:244:${subnet}::${pod}`;
}
