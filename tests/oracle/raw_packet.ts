import fc from "fast-check";
import { families, pools } from "./raw_cluster.ts";
import type { RawCluster, RawPacket, RawProtocol, RawService } from "./raw_objects.ts";

/**
 * A packet from any source by any interface. Mostly to a frontend of the cluster, otherwise to a similar
 * address.
 */
export function anyRawPacket(cluster: RawCluster): fc.Arbitrary<RawPacket> {
  const frontends = cluster.services.flatMap(frontendsOf);
  const similar = fc.constantFrom(...families).chain((family) => {
    const { clusterIPs, externalIPs, loadBalancerIPs, nodeIPs, unallocated, loopback, pods } = pools[family];
    return fc.record({
      destination: fc.constantFrom(
        ...[clusterIPs, externalIPs, loadBalancerIPs, nodeIPs, unallocated, loopback, pods].flat(),
      ),
      protocol: fc.constantFrom<RawProtocol>("TCP", "UDP", "SCTP"),
      port: fc.constantFrom(80, 53, 30080, 30081, 8080),
    });
  });
  const target = frontends.length === 0
    ? similar
    : fc.oneof({ arbitrary: fc.constantFrom(...frontends), weight: 4 }, similar);
  return target.chain((target) => {
    const pool = pools[target.destination.includes(":") ? "IPv6" : "IPv4"];
    return fc.record({
      source: fc.constantFrom(
        ...pool.pods,
        ...pool.pods,
        ...pool.nodeIPs,
        ...pool.clients,
        ...pool.loadBalancerIPs,
        pool.loopback,
        // A node that connects to its own address has that address as its source.
        ...Array<string>(3).fill(target.destination),
      ),
      incoming: fc.constantFrom("pods0", "pods-c", "eth0", undefined),
    }).map((from) => ({ ...from, ...target }));
  });
}

type Target = Pick<RawPacket, "destination" | "protocol" | "port">;

function frontendsOf({ spec, status }: RawService): Target[] {
  const addresses = [
    ...(spec.clusterIPs ?? [spec.clusterIP ?? ""]),
    ...(spec.externalIPs ?? []),
    ...(status?.loadBalancer.ingress ?? []).map(({ ip = "" }) => ip),
  ].filter((address) => /[.:]/.test(address));
  const nodeIPs = [...pools.IPv4.nodeIPs, ...pools.IPv6.nodeIPs];
  return spec.ports.flatMap(({ protocol = "TCP", port, nodePort = 0 }) => [
    ...addresses.map((destination) => ({ destination, protocol, port })),
    ...(nodePort === 0 ? [] : nodeIPs.map((destination) => ({ destination, protocol, port: nodePort }))),
  ]);
}
