import assert from "node:assert/strict";
import { formatCidr, LOOPBACK } from "../../../core/net/address.ts";
import type { EndpointSlice, Service } from "../../../core/objects/objects.ts";
import { describeFrontend, type Route, type ServicePortPlan } from "../../../core/plan/plan.ts";
import { type PlanContext, planService } from "../../../core/plan/planner.ts";
import { samePlan } from "../../../core/plan/same_plan.ts";
import { address, aService, aSlice, cidr, here, webPort } from "./builders.ts";

function plan(
  service: Partial<Service>,
  slices: readonly EndpointSlice[] = [],
  context = here,
): ServicePortPlan {
  const [only, ...others] = planService(aService(service), slices, context);
  assert.ok(only !== undefined && others.length === 0);
  return only;
}

const nodePort = { ports: [{ ...webPort, nodePort: 30080 }] };
const localReady = { at: "10.1.0.1", nodeName: "here" };
const remoteReady = { at: "10.1.0.2", nodeName: "there" };

Deno.test("a plan contains everything about a service port", () => {
  const endpoint = (text: string, isLocal: boolean) => ({ address: address(text), port: 8080, isLocal });
  assert.deepEqual(plan({ affinitySeconds: 60, ...nodePort }, [aSlice([remoteReady, localReady])]), {
    key: "default/web:http/TCP/IPv4",
    family: "IPv4",
    namespace: "default",
    name: "web",
    portName: "http",
    protocol: "TCP",
    frontends: [{ kind: "ClusterIP", address: address("10.96.0.10"), port: 80 }, {
      kind: "NodePort",
      port: 30080,
    }],
    internal: { verdict: "balance", to: "cluster", masquerade: "off-node" },
    external: { verdict: "balance", to: "cluster", masquerade: "all" },
    clusterEndpoints: [endpoint("10.1.0.1", true), endpoint("10.1.0.2", false)],
    localEndpoints: [],
    servingEndpoints: [],
    affinitySeconds: 60,
    balancing: undefined,
    sourceRanges: undefined,
    healthCheckNodePort: 0,
  });
});

Deno.test("there is one plan per port and per family that is in use and has a cluster IP", () => {
  const service = aService({
    clusterIPs: [address("fd00::10"), address("10.96.0.10")],
    ports: [webPort, { name: "dns", protocol: "UDP", port: 53, nodePort: 0 }],
  });
  const keys = (families: PlanContext["families"]) =>
    planService(service, [], { ...here, families }).map(({ key }) => key as string);
  assert.deepEqual(keys(["IPv4", "IPv6"]), [
    "default/web:http/TCP/IPv6",
    "default/web:dns/UDP/IPv6",
    "default/web:http/TCP/IPv4",
    "default/web:dns/UDP/IPv4",
  ]);
  assert.deepEqual(keys(["IPv4"]), ["default/web:http/TCP/IPv4", "default/web:dns/UDP/IPv4"]);
  assert.deepEqual(planService(aService(), [], { ...here, families: ["IPv6"] }), []);
});

Deno.test("frontends have the addresses of the plan's family", () => {
  const service = aService({
    clusterIPs: [address("10.96.0.10"), address("fd00::10")],
    externalIPs: [address("198.51.100.1"), address("2001:db8::5")],
    loadBalancerIPs: [address("2001:db8::6"), address("203.0.113.5")],
    ...nodePort,
  });
  const shown = planService(service, [], here).map((one) =>
    one.frontends.map((frontend) => `${frontend.kind} ${describeFrontend(frontend, "TCP")}`)
  );
  assert.deepEqual(shown, [
    [
      "ClusterIP 10.96.0.10:80/TCP",
      "LoadBalancerIP 203.0.113.5:80/TCP",
      "ExternalIP 198.51.100.1:80/TCP",
      "NodePort node port 30080/TCP",
    ],
    [
      "ClusterIP [fd00::10]:80/TCP",
      "LoadBalancerIP [2001:db8::6]:80/TCP",
      "ExternalIP [2001:db8::5]:80/TCP",
      "NodePort node port 30080/TCP",
    ],
  ]);
});

Deno.test("an address in several roles is one frontend: ClusterIP, then load balancer, then external IP", () => {
  const { frontends } = plan({
    externalIPs: ["203.0.113.5", "10.96.0.10", "198.51.100.1", "198.51.100.1"].map(address),
    loadBalancerIPs: ["203.0.113.5", "10.96.0.10"].map(address),
  });
  assert.deepEqual(frontends.map((frontend) => `${frontend.kind} ${describeFrontend(frontend, "TCP")}`), [
    "ClusterIP 10.96.0.10:80/TCP",
    "LoadBalancerIP 203.0.113.5:80/TCP",
    "ExternalIP 198.51.100.1:80/TCP",
  ]);
});

Deno.test("the order of addresses in a Service is irrelevant", () => {
  const addresses = ["198.51.100.2", "198.51.100.1"].map(address);
  assert.deepEqual(plan({ externalIPs: addresses }), plan({ externalIPs: addresses.toReversed() }));
});

Deno.test("policies and endpoints decide the routes: docs/behaviour.md §3 and §4.3", () => {
  const toCluster: Route = { verdict: "balance", to: "cluster", masquerade: "off-node" };
  const toLocal: Route = { verdict: "balance", to: "local", masquerade: "off-node" };
  const masqueraded: Route = { verdict: "balance", to: "cluster", masquerade: "all" };
  const localExternal: Route = { verdict: "local-external" };
  const reject: Route = { verdict: "reject" };
  const drop: Route = { verdict: "drop" };
  const C = "Cluster", L = "Local";
  const [none, remote, some] = [[], [remoteReady], [localReady, remoteReady]];
  const rows = [
    // internal, external, endpoints, → internal, external, cluster list, local list
    [C, C, none, reject, reject, 0, 0],
    [C, C, remote, toCluster, masqueraded, 1, 0],
    [C, C, some, toCluster, masqueraded, 2, 0],
    [L, C, none, reject, reject, 0, 0],
    [L, C, remote, drop, masqueraded, 1, 0],
    [L, C, some, toLocal, masqueraded, 2, 1],
    [C, L, none, reject, reject, 0, 0],
    [C, L, remote, toCluster, localExternal, 1, 0],
    [C, L, some, toCluster, localExternal, 2, 1],
    [L, L, none, reject, reject, 0, 0],
    [L, L, remote, drop, localExternal, 1, 0],
    [L, L, some, toLocal, localExternal, 2, 1],
  ] as const;
  for (
    const [internalTrafficPolicy, externalTrafficPolicy, endpoints, internal, external, cluster, local]
      of rows
  ) {
    const made = plan({ internalTrafficPolicy, externalTrafficPolicy, ...nodePort }, [aSlice(endpoints)]);
    const what =
      `internal ${internalTrafficPolicy}, external ${externalTrafficPolicy}, ${endpoints.length} endpoints`;
    assert.deepEqual([made.internal, made.external], [internal, external], what);
    assert.deepEqual([made.clusterEndpoints.length, made.localEndpoints.length], [cluster, local], what);
  }
});

Deno.test("a service without external addresses has no endpoint lists for external routes", () => {
  const slices = [aSlice([localReady, remoteReady])];
  const cluster = plan({ externalTrafficPolicy: "Local" }, slices);
  assert.deepEqual(
    [cluster.external.verdict, cluster.clusterEndpoints.length, cluster.localEndpoints.length],
    [
      "reject",
      2,
      0,
    ],
  );
  const local = plan({ internalTrafficPolicy: "Local" }, slices);
  assert.deepEqual([local.external.verdict, local.clusterEndpoints.length, local.localEndpoints.length], [
    "reject",
    0,
    1,
  ]);
});

Deno.test("a family without external addresses of its own is not reachable from outside", () => {
  const service = aService({
    clusterIPs: [address("10.96.0.10"), address("fd00::10")],
    externalIPs: [address("198.51.100.1")],
    externalTrafficPolicy: "Local",
  });
  const slices = [aSlice([localReady]), aSlice([{ at: "fd00::1:1", nodeName: "here" }], { name: "web-2" })];
  const external = planService(service, slices, here).map((one) => one.external.verdict);
  assert.deepEqual(external, ["local-external", "reject"]);
});

Deno.test("both lists share their endpoint objects", () => {
  const made = plan({ externalTrafficPolicy: "Local", ...nodePort }, [aSlice([localReady, remoteReady])]);
  assert.ok(made.localEndpoints[0] !== undefined && made.clusterEndpoints.includes(made.localEndpoints[0]));
});

Deno.test("source ranges follow docs/behaviour.md §4.6", () => {
  const vip = "203.0.113.5";
  const rows: readonly [what: string, vips: string[], ranges: string[], expected: string[] | undefined][] = [
    ["none", [vip], [], undefined],
    ["no load balancer", [], ["10.0.0.0/8"], undefined],
    ["only the other family's", [vip], ["fd00::/8"], undefined],
    ["own family's only", [vip], ["10.0.0.0/8", "fd00::/8"], ["10.0.0.0/8"]],
    ["everybody", [vip], ["10.0.0.0/8", "0.0.0.0/0"], undefined],
    ["sorted, none within another", [vip], ["172.16.0.0/12", "10.1.0.0/16", "10.0.0.0/8", "10.0.0.0/8"], [
      "10.0.0.0/8",
      "172.16.0.0/12",
    ]],
    ["with this node", [vip, "203.0.113.6"], ["192.0.2.0/24"], [
      "192.0.2.0/24",
      "203.0.113.5/32",
      "203.0.113.6/32",
    ]],
    ["with this node and the address", [vip], ["192.0.0.0/6"], ["192.0.0.0/6", "203.0.113.5/32"]],
    ["with the address in a range", [vip], ["192.0.2.0/24", "203.0.113.0/24"], [
      "192.0.2.0/24",
      "203.0.113.0/24",
    ]],
  ];
  for (const [what, vips, ranges, expected] of rows) {
    const made = plan({ loadBalancerIPs: vips.map(address), loadBalancerSourceRanges: ranges.map(cidr) });
    assert.deepEqual(made.sourceRanges?.map(formatCidr), expected, what);
  }
});

Deno.test("source ranges in IPv6 admit this node's own traffic to the address", () => {
  const made = plan({
    clusterIPs: [address("fd00::10")],
    loadBalancerIPs: [address("2001:db8:5::5"), address("203.0.113.5")],
    loadBalancerSourceRanges: [cidr("2001:db8::/64"), cidr("10.0.0.0/8")],
  });
  assert.deepEqual(made.sourceRanges?.map(formatCidr), ["2001:db8::/64", "2001:db8:5::5/128"]);
});

Deno.test("a node without an address of the family is only in loopback ranges", () => {
  const context = { ...here, nodeAddresses: LOOPBACK };
  const made = plan(
    { loadBalancerIPs: [address("203.0.113.5")], loadBalancerSourceRanges: [cidr("192.0.2.0/24")] },
    [],
    context,
  );
  assert.deepEqual(made.sourceRanges?.map(formatCidr), ["192.0.2.0/24"]);
});

Deno.test("every plan of a service has its health-check node port, and another port is another plan", () => {
  const ports = [webPort, { name: "dns", protocol: "UDP" as const, port: 53, nodePort: 0 }];
  const plans = planService(aService({ ports, healthCheckNodePort: 32100 }), [], here);
  assert.deepEqual(plans.map(({ healthCheckNodePort }) => healthCheckNodePort), [32100, 32100]);
  assert.ok(samePlan(plan({ healthCheckNodePort: 32100 }), plan({ healthCheckNodePort: 32100 })));
  assert.ok(!samePlan(plan({ healthCheckNodePort: 32100 }), plan({ healthCheckNodePort: 32101 })));
});

Deno.test("UDP flows may keep all endpoints that are serving or ready, on any node and with any policy", () => {
  const udp = { ...webPort, protocol: "UDP" as const };
  const slice = (...endpoints: Parameters<typeof aSlice>[0]) =>
    aSlice(endpoints, { ports: [{ name: "http", protocol: "UDP", port: 8080 }] });
  const gone = { at: "10.1.0.3", ready: false, serving: false };
  const ending = { at: "10.1.0.4", ready: false, serving: true, terminating: true };
  const forced = { at: "10.1.0.5", ready: true, serving: false };
  const made = plan(
    { ports: [udp], internalTrafficPolicy: "Local" },
    [slice(localReady, remoteReady, gone, ending, forced)],
  );
  assert.deepEqual(
    made.servingEndpoints.map((endpoint) => endpoint.address),
    ["10.1.0.1", "10.1.0.2", "10.1.0.4", "10.1.0.5"].map(address),
  );
  const plain = plan({ ports: [udp] }, [slice(localReady, remoteReady)]);
  assert.equal(plain.servingEndpoints, plain.clusterEndpoints, "one list where it is the same");
  const tcp = plan({}, [aSlice([localReady])]);
  assert.equal(
    tcp.servingEndpoints,
    plan({}, [aSlice([remoteReady])]).servingEndpoints,
    "one list without them",
  );
});

Deno.test("every plan of a service has its balancing, and another balancing is another plan", () => {
  const clusterIPs = [address("10.96.0.10"), address("fd00::10")];
  const plans = planService(aService({ clusterIPs, balancing: "maglev" }), [], here);
  assert.deepEqual(plans.map(({ balancing }) => balancing), ["maglev", "maglev"]);
  assert.ok(samePlan(plan({ balancing: "maglev" }), plan({ balancing: "maglev" })));
  assert.ok(!samePlan(plan({ balancing: "maglev" }), plan({ balancing: "random" })));
  assert.ok(!samePlan(plan({ balancing: "random" }), plan({})));
});

Deno.test("plans for TCP have the PROXY protocol of their service, and its change is another plan", () => {
  const ports = (["TCP", "UDP"] as const).map((protocol) => ({
    name: protocol.toLowerCase(),
    protocol,
    port: 80,
    nodePort: 0,
  }));
  const plans = planService(aService({ ports, proxyProtocol: true }), [], here);
  assert.deepEqual(plans.map(({ protocol, proxyProtocol }) => [protocol, proxyProtocol]), [["TCP", true], [
    "UDP",
    undefined,
  ]]);
  assert.ok(!samePlan(plan({ proxyProtocol: true }), plan({})));
});

Deno.test("TCP connections may keep all endpoints in the slices, in a mode that ends the others", () => {
  const ending = { ...here, endsConnections: true };
  const gone = { at: "10.1.0.3", ready: false, serving: false };
  const lists = (...slices: readonly EndpointSlice[]) =>
    plan({ internalTrafficPolicy: "Local" }, slices, ending).servingEndpoints.map((one) => one.address);
  const later = aSlice([{ ...gone, at: "10.1.0.4", terminating: true }], { name: "web-2" });
  assert.deepEqual(
    lists(aSlice([localReady, remoteReady, gone]), later),
    ["10.1.0.1", "10.1.0.2", "10.1.0.3", "10.1.0.4"].map(address),
  );
  assert.deepEqual(lists(later), [address("10.1.0.4")]);
  const plain = plan({}, [aSlice([localReady, remoteReady])], ending);
  assert.equal(plain.servingEndpoints, plain.clusterEndpoints, "one list where it is the same");
});

Deno.test("a weight comes from the slice, or else from the Service, and another weight is another plan", () => {
  const slices = [
    aSlice([localReady], { name: "web-1" }),
    aSlice([remoteReady], { name: "web-2", weight: 0 }),
  ];
  const weighed = plan({ weight: 3, internalTrafficPolicy: "Local", ...nodePort }, slices);
  assert.deepEqual(weighed.clusterEndpoints.map(({ weight }) => weight), [3, 0]);
  assert.deepEqual(weighed.localEndpoints.map(({ weight }) => weight), [3]);
  assert.ok(samePlan(weighed, plan({ weight: 3, internalTrafficPolicy: "Local", ...nodePort }, slices)));
  assert.ok(!samePlan(weighed, plan({ weight: 4, internalTrafficPolicy: "Local", ...nodePort }, slices)));
  assert.ok(!samePlan(plan({}, [aSlice([localReady], { weight: 0 })]), plan({}, [aSlice([localReady])])));
});

Deno.test("the frontends of a Service with many addresses are made once, and again when the Service changes", () => {
  const many = Array.from({ length: 20 }, (_, n) => address(`192.0.2.${n}`));
  const wide = aService({ externalIPs: many });
  const frontendsOf = (service: Service, slices: readonly EndpointSlice[]) =>
    planService(service, slices, here)[0]?.frontends;
  const frontends = frontendsOf(wide, []);
  assert.equal(frontends?.length, 21);
  assert.equal(frontendsOf(wide, [aSlice([localReady])]), frontends);
  assert.equal(frontendsOf({ ...wide, externalIPs: many.slice(1) }, [])?.length, 20);
});
