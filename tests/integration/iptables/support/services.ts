import { FAMILIES, type Family } from "../../../../core/net/protocol.ts";
import { serviceAddress, type ServiceRange } from "../../../lab/topology.ts";
import { type RawEndpoint, type RawObject, type RawService, service, slice } from "./objects.ts";

/** Services with their EndpointSlices. */

export const web = { name: "", port: 80 };

export type Spec = Partial<RawService> & { readonly name: string };

/** A Service and one EndpointSlice per family. IPv6 endpoints are derived from the IPv4 ones. */
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

/** A Service of type LoadBalancer with its own address. */
export function balanced(name: string, nodePort?: number): Spec {
  return {
    name,
    type: "LoadBalancer",
    loadBalancerIPs: own("loadBalancer"),
    ports: [{ ...web, ...(nodePort !== undefined && { nodePort }) }],
  };
}

let lastOwn = 0;

/** An unused address of the range, in both families. */
export function own(range: ServiceRange): readonly string[] {
  lastOwn++;
  return FAMILIES.map((family) => serviceAddress(range, family, lastOwn));
}

/** 10.244.1.11 becomes fd00:244:1::11 in IPv6. */
function inFamily(address: string, family: Family): string {
  if (family === "IPv4") return address;
  const [, , subnet, pod] = address.split(".");
  return `fd00:244:${subnet}::${pod}`;
}
