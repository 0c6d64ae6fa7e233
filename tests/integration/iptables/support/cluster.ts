import { machines } from "../../../lab/topology.ts";
import { localNode, type RawObject, service } from "./objects.ts";
import { balanced, of, own, web } from "./services.ts";

/**
 * Objects for every rule type of docs/behaviour.md §5.1, most of them in both families. There are no topology
 * hints: if the real kube-proxy programs before it knows its node's zone, it may keep these rules.
 */

const here = ["10.244.1.11", "10.244.1.12", "10.244.1.13"] as const;
const elsewhere = ["10.244.2.14", "10.244.2.15"] as const;
/** Addresses whose byte order and text order differ. */
const twelve = Array.from({ length: 12 }, (_, index) => `10.244.2.${94 + index}`);

const nodeRange = ["192.168.8.0/24", "fd00:8::/64"];
const otherRange = ["172.16.0.0/12", "203.0.113.7/32", "fd99::/32"];

/** Addresses that are external IPs and load-balancer IPs of one service. */
const shared = own("loadBalancer");

export const node = localNode({
  podCIDRs: ["10.244.1.0/24", "fd00:244:1::/64"],
  addresses: Object.values(machines.node.addresses),
});

/** Services and their endpoints. */
export const cluster: readonly RawObject[] = [
  node,
  ...of({ name: "one" }, [here[0]]),
  ...of({ name: "three" }, here),
  ...of({ name: "twelve" }, twelve),
  ...of({ name: "none" }, []),
  service({ name: "no-slice", ports: [web] }),
  ...of({ name: "sticky", affinity: 600 }, here),
  ...of({ name: "sticky-one", affinity: 10800 }, [here[0]]),
  ...of({ name: "internal-local", internalTrafficPolicy: "Local" }, [...here, ...elsewhere]),
  ...of({ name: "internal-local-none", internalTrafficPolicy: "Local" }, elsewhere),
  ...of({ name: "node-port", type: "NodePort", ports: [{ ...web, nodePort: 30080 }] }, [
    here[0],
    elsewhere[0],
  ]),
  ...of({ name: "node-port-none", type: "NodePort", ports: [{ ...web, nodePort: 30081 }] }, []),
  ...of({
    name: "node-port-local",
    type: "NodePort",
    externalTrafficPolicy: "Local",
    ports: [{ ...web, nodePort: 30082 }],
  }, [here[0], elsewhere[0]]),
  ...of({ name: "external", externalIPs: own("external") }, here),
  ...of({ name: "external-twice", externalIPs: [...own("external"), ...own("external")] }, here),
  ...of({ name: "external-none", externalIPs: own("external") }, []),
  ...of({ name: "external-local", externalIPs: own("external"), externalTrafficPolicy: "Local" }, here),
  ...of(balanced("balanced"), here),
  ...of(balanced("balanced-none"), []),
  ...of({ ...balanced("balanced-elsewhere"), loadBalancerMode: "Proxy" }, here),
  ...of(
    { ...balanced("external-too"), externalIPs: own("external"), ports: [{ ...web, nodePort: 30090 }] },
    here,
  ),
  ...of({ ...balanced("ranges"), sourceRanges: otherRange }, here),
  ...of({ ...balanced("ranges-with-node"), sourceRanges: [...otherRange, ...nodeRange] }, here),
  ...of(
    { ...balanced("ranges-within-ranges"), sourceRanges: ["10.0.0.0/8", "10.1.0.0/16", "fd99::/32"] },
    here,
  ),
  ...of({ ...balanced("ranges-of-one-family"), sourceRanges: ["10.0.0.0/8"] }, here),
  ...of({
    ...balanced("external-and-balanced"),
    externalIPs: shared,
    loadBalancerIPs: shared,
    sourceRanges: otherRange,
  }, [
    here[0],
  ]),
  ...of({ ...balanced("ranges-none"), sourceRanges: otherRange }, []),
  ...of({ ...balanced("ranges-of-everyone"), sourceRanges: ["0.0.0.0/0", "::/0"] }, here),
  ...of({
    ...balanced("local", 30100),
    externalTrafficPolicy: "Local",
    healthCheckNodePort: 31100,
  }, [...here, ...elsewhere]),
  ...of({
    ...balanced("local-elsewhere", 30101),
    externalTrafficPolicy: "Local",
    healthCheckNodePort: 31101,
    externalIPs: own("external"),
  }, elsewhere),
  ...of({
    ...balanced("local-none", 30102),
    externalTrafficPolicy: "Local",
    healthCheckNodePort: 31102,
  }, []),
  ...of({
    ...balanced("both-local", 30103),
    externalTrafficPolicy: "Local",
    internalTrafficPolicy: "Local",
    healthCheckNodePort: 31103,
    affinity: 60,
    sourceRanges: [...otherRange, ...nodeRange],
    externalIPs: own("external"),
  }, [...here, ...elsewhere]),
  ...of({
    name: "dns",
    type: "NodePort",
    ports: [
      { name: "dns", protocol: "UDP", port: 53, nodePort: 30053 },
      { name: "dns-tcp", protocol: "TCP", port: 53, nodePort: 30053 },
      { name: "metrics", port: 9153, nodePort: 30054 },
    ],
  }, here),
  ...of({ ...balanced("sctp"), ports: [{ name: "diameter", protocol: "SCTP", port: 3868 }] }, here),
  ...of({ name: "sctp-none", ports: [{ name: "diameter", protocol: "SCTP", port: 3868 }] }, []),
  ...terminating(),
  ...of({
    name: "named-so-long-that-every-comment-of-it-has-sixty-three-letters",
    externalIPs: own("external"),
  }, [
    here[0],
  ]),
  ...of({ name: "only-v4", families: ["IPv4"], externalIPs: ["203.0.113.200"] }, [here[0]]),
  ...of({ name: "only-v6", families: ["IPv6"], externalIPs: ["2001:db8:e::c8"] }, [here[0]]),
  ...of({ name: "only-v6-none", families: ["IPv6"] }, []),
  service({ name: "headless", clusterIP: "None", ports: [web] }),
];

/** `cluster` with changes of every kind: services and endpoints are added, removed and changed. */
export function changed(): readonly RawObject[] {
  const without = cluster.filter(({ metadata: { name } }) =>
    !/^(three|twelve|local-none|ranges|sctp|none)(-ipv[46])?$/.test(name)
  );
  return [
    ...without,
    ...of({ name: "three" }, [here[0], elsewhere[1]]),
    ...of({ name: "none" }, [here[0]]),
    ...of({ ...balanced("local-none", 30102), externalTrafficPolicy: "Local", healthCheckNodePort: 31102 }, [
      here[1],
    ]),
    ...of(balanced("ranges"), []),
    ...of({ name: "fresh", type: "NodePort", ports: [{ ...web, nodePort: 30200 }] }, [here[2]]),
  ];
}

/** So many endpoints that kube-proxy omits comments. */
export const largeCluster: readonly RawObject[] = [
  ...cluster,
  ...Array.from(
    { length: 5 },
    (_, service) =>
      of(
        { name: `large-${service}` },
        Array.from({ length: 200 }, (_, pod) => `10.244.${3 + service}.${1 + pod}`),
      ),
  )
    .flat(),
];

/** A service that is published with a cluster. When its rule is programmed, all other rules are, too. */
export function marker(number: number): readonly RawObject[] {
  return of({ name: `marker-${number}` }, [here[0]]);
}

/** The comment of a marker's first rule. */
export function commentOfMarker(number: number): string {
  return `default/marker-${number} cluster IP`;
}

/** Services with some or only terminating endpoints. */
function terminating(): readonly RawObject[] {
  const is = (address: string, serving: boolean) => ({
    address,
    conditions: { serving, ready: false, terminating: true },
  });
  const [a, b, c] = here;
  return [
    ...of({ name: "some-terminate" }, [a, is(b, true), is(c, false)]),
    ...of({ name: "all-terminate" }, [is(a, true), is(b, true), is(c, false)]),
    ...of({ name: "all-are-gone" }, here.map((address) => is(address, false))),
    ...of({
      ...balanced("local-terminates", 30110),
      externalTrafficPolicy: "Local",
      healthCheckNodePort: 31110,
    }, [is(a, true), is(b, false), elsewhere[0]]),
  ];
}
