import fc from "fast-check";
import { FAMILIES, type Family } from "../../../core/net/protocol.ts";
import type { ServiceAddresses } from "../../conformance/runner/objects.ts";
import type { EndpointSpec, EndpointsSpec, ServiceSpec } from "../../conformance/format/scenario.ts";
import type { Target } from "../../lab/agent.ts";
import { type MachineName, machines, secondNodeAddress } from "../../lab/topology.ts";

/** Services of every kind over the machines of the lab, and the probes for them. */

/** A seed always gives the same services. */
export function randomServices(count: number, seed: number): readonly RandomService[] {
  return fc.sample(anyService, { seed, numRuns: count }).map(numbered);
}

export interface RandomService {
  readonly service: ServiceSpec;
  readonly endpoints: EndpointsSpec;
}

const policy = fc.constantFrom("Cluster" as const, "Local" as const);
export const endpointMachines: readonly MachineName[] = [
  "pod-a",
  "pod-b",
  "pod-c",
  "pod-d",
  "node",
  "elsewhere",
];

const anyEndpoint: fc.Arbitrary<readonly [state: "ready" | "terminating" | "notReady", EndpointSpec]> = fc
  .tuple(
    fc.constantFrom("ready" as const, "ready" as const, "terminating" as const, "notReady" as const),
    fc.record({
      pod: fc.constantFrom(...endpointMachines),
      zones: fc.subarray(["zone-1", "zone-2"]),
      nodes: fc.subarray(["here"]),
    }).map(({ pod, zones, nodes }) => ({
      pod,
      ...(zones.length === 0 ? {} : { zones }),
      ...(nodes.length === 0 ? {} : { nodes }),
    })),
  );

const anyService = fc.record({
  type: fc.constantFrom(
    "ClusterIP" as const,
    "NodePort" as const,
    "LoadBalancer" as const,
    "LoadBalancer" as const,
  ),
  protocol: fc.constantFrom("TCP" as const, "TCP" as const, "UDP" as const),
  targetPort: fc.constantFrom(8080, 8081),
  externalIP: fc.boolean(),
  sourceRanges: fc.option(
    fc.subarray(["outside", "pod-b", "pod-d", "node", "10.244.1.0/24"], { minLength: 1 }),
  ),
  affinity: fc.constantFrom(undefined, undefined, 600),
  externalTrafficPolicy: policy,
  internalTrafficPolicy: policy,
  endpoints: fc.uniqueArray(anyEndpoint, { selector: ([, { pod }]) => pod, minLength: 1, maxLength: 5 }),
});

type RandomTraits = typeof anyService extends fc.Arbitrary<infer T> ? T : never;

function numbered(random: RandomTraits, index: number): RandomService {
  const { type, protocol, targetPort, externalIP, sourceRanges, affinity } = random;
  const name = `service-${index}`;
  const hasNodePort = type !== "ClusterIP";
  const inState = (wanted: string) =>
    random.endpoints.flatMap(([state, endpoint]) => state === wanted ? [endpoint] : []);
  return {
    service: {
      name,
      type,
      ports: [{
        name: "",
        port: 80,
        protocol,
        targetPort,
        ...(hasNodePort ? { nodePort: 30_000 + index } : {}),
      }],
      externalIP,
      labels: {},
      internalTrafficPolicy: random.internalTrafficPolicy,
      ...(sourceRanges === null || type !== "LoadBalancer" ? {} : { sourceRanges }),
      ...(affinity === undefined ? {} : { affinity }),
      ...(hasNodePort || externalIP ? { externalTrafficPolicy: random.externalTrafficPolicy } : {}),
    },
    endpoints: {
      of: name,
      slice: "1",
      labels: {},
      ready: inState("ready"),
      terminating: inState("terminating"),
      notReady: inState("notReady"),
    },
  };
}

export interface Question {
  readonly from: MachineName;
  readonly family: Family;
  readonly target: Target;
}

export const clients: readonly MachineName[] = [
  "node",
  "elsewhere",
  "outside",
  "stranger",
  "pod-a",
  "pod-b",
  "pod-c",
  "pod-d",
];
const CLIENTS_PER_TARGET = 3;

/** Probes of every frontend of every service in both families, each from some of the machines. */
export function questionsTo(
  services: readonly RandomService[],
  addresses: ServiceAddresses,
  seed: number,
): readonly Question[] {
  const targets = FAMILIES.flatMap((family) => [
    ...services.flatMap(({ service }) => targetsOf(service, addresses, family)),
    { family, to: addresses.of("clusterIP", "unallocated", family), port: 80, protocol: "TCP" as const },
  ]);
  const some = fc.subarray([...clients], { minLength: CLIENTS_PER_TARGET, maxLength: CLIENTS_PER_TARGET });
  const choices = fc.sample(some, { seed, numRuns: targets.length });
  return targets.flatMap(({ family, ...target }, index) =>
    (choices[index] ?? []).map((from) => ({ from, family, target }))
  );
}

function targetsOf(
  { name, type, externalIP, ports }: ServiceSpec,
  addresses: ServiceAddresses,
  family: Family,
): readonly (Target & { readonly family: Family })[] {
  return ports.flatMap(({ port, protocol, nodePort }) => [
    { family, to: addresses.of("clusterIP", name, family), port, protocol },
    { family, to: addresses.of("clusterIP", name, family), port: 81, protocol },
    ...(externalIP ? [{ family, to: addresses.of("external", name, family), port, protocol }] : []),
    ...(type === "LoadBalancer"
      ? [{ family, to: addresses.of("loadBalancer", name, family), port, protocol }]
      : []),
    ...(nodePort === undefined ? [] : [machines.node.addresses, secondNodeAddress].map((at) => ({
      family,
      to: at[family],
      port: nodePort,
      protocol,
    }))),
  ]);
}
