import assert from "node:assert/strict";
import { compile, type Compiled, type CompileOptions } from "../../../backends/ipvs/compile.ts";
import { formatAddress } from "../../../core/net/address.ts";
import type { NodeSettings } from "../../../core/plan/plan.ts";
import { addressOf, planOf, type PlanText, settingsOf } from "../plans.ts";
import { defaultOptions } from "./options.ts";
import { elementTexts, serverTexts } from "./texts.ts";

const own = ["192.168.7.1", "192.168.7.2"].map(addressOf);
const node = settingsOf("IPv4", { nodePorts: own, interfaceAddresses: own });

function compiled(
  text: PlanText,
  settings: NodeSettings = node,
  options: Partial<CompileOptions> = {},
): Compiled {
  return compile(planOf(text), settings, { ...defaultOptions, ...options });
}

Deno.test("a ClusterIP is a virtual server with its address on the device, masqueraded depending on the client", () => {
  const { servers, addresses, elements } = compiled({
    clusterIP: "10.96.0.10:80",
    endpoints: ["10.1.0.1:8080@here", "10.1.1.2:8080"],
  });
  assert.deepEqual(serverTexts(servers), { "10.96.0.10:80/TCP rr": "10.1.0.1:8080 10.1.1.2:8080" });
  assert.deepEqual(addresses.map(formatAddress), ["10.96.0.10"]);
  assert.deepEqual(elementTexts(elements), {
    "ipvs-ips": ["10.96.0.10"],
    "cluster-ips": ["10.96.0.10"],
    "virtual-servers": ["10.96.0.10:80/TCP"],
    "hairpin-connections": ["10.1.0.1 to 10.1.0.1"],
  });
});

Deno.test("external addresses and NodePorts with policy Cluster are masqueraded", () => {
  const { servers, addresses, elements } = compiled({
    externalIPs: ["192.0.2.1:80"],
    loadBalancerIPs: ["203.0.113.1:80"],
    nodePort: 30080,
    endpoints: ["10.1.1.2:8080"],
  });
  const all = [
    "192.0.2.1:80/TCP",
    "203.0.113.1:80/TCP",
    "192.168.7.1:30080/TCP",
    "192.168.7.2:30080/TCP",
  ];
  assert.deepEqual(
    serverTexts(servers),
    Object.fromEntries(all.map((one) => [`${one} rr`, "10.1.1.2:8080"])),
  );
  assert.deepEqual(addresses.map(formatAddress), ["192.0.2.1", "203.0.113.1"], "no address of the node");
  assert.deepEqual(elementTexts(elements), {
    "ipvs-ips": ["192.0.2.1", "203.0.113.1"],
    "virtual-servers": all,
    "masqueraded-services": all,
  });
});

Deno.test("an address of a node interface gets a virtual server, but is not added to the device", () => {
  const { servers, addresses, elements } = compiled({ externalIPs: ["192.168.7.2:80", "192.0.2.1:80"] });
  assert.deepEqual(Object.keys(serverTexts(servers)), ["192.168.7.2:80/TCP rr", "192.0.2.1:80/TCP rr"]);
  assert.deepEqual(addresses.map(formatAddress), ["192.0.2.1"]);
  assert.deepEqual(elementTexts(elements)["ipvs-ips"], ["192.0.2.1"]);
});

Deno.test("with policy Local, clients keep their address and reach the endpoints of this node", () => {
  const { servers, elements } = compiled({
    clusterIP: "10.96.0.10:80",
    loadBalancerIPs: ["203.0.113.1:80"],
    nodePort: 30080,
    internal: "cluster",
    external: "local",
    endpoints: ["10.1.0.1:8080@here", "10.1.1.2:8080"],
  });
  assert.deepEqual(serverTexts(servers), {
    "10.96.0.10:80/TCP rr": "10.1.0.1:8080 10.1.1.2:8080",
    "203.0.113.1:80/TCP rr": "10.1.0.1:8080",
    "192.168.7.1:30080/TCP rr": "10.1.0.1:8080",
    "192.168.7.2:30080/TCP rr": "10.1.0.1:8080",
  });
  const { "masqueraded-services": masqueraded, "no-local-endpoint-services": dropped } = elementTexts(
    elements,
  );
  assert.deepEqual([masqueraded, dropped], [undefined, undefined]);
});

Deno.test("with policy Local and no local endpoint, all endpoints serve this node, and clients outside are dropped", () => {
  const { servers, elements } = compiled({
    loadBalancerIPs: ["203.0.113.1:80"],
    nodePort: 30080,
    external: "local",
    endpoints: ["10.1.1.2:8080"],
  });
  const all = ["203.0.113.1:80/TCP", "192.168.7.1:30080/TCP", "192.168.7.2:30080/TCP"];
  assert.deepEqual(
    serverTexts(servers),
    Object.fromEntries(all.map((one) => [`${one} rr`, "10.1.1.2:8080"])),
  );
  assert.deepEqual(elementTexts(elements)["no-local-endpoint-services"], all);
});

Deno.test("a rejected frontend has a virtual server without real servers; a dropped one is dropped before IPVS", () => {
  const { servers, elements } = compiled({
    clusterIP: "10.96.0.10:80",
    nodePort: 30080,
    internal: "drop",
    external: "reject",
  }, settingsOf("IPv4", { nodePorts: own.slice(0, 1) }));
  assert.deepEqual(serverTexts(servers), { "10.96.0.10:80/TCP rr": "", "192.168.7.1:30080/TCP rr": "" });
  assert.deepEqual(elementTexts(elements)["no-endpoint-services"], ["10.96.0.10:80/TCP"]);
  assert.equal(elementTexts(elements)["masqueraded-services"], undefined);
});

Deno.test("session affinity is persistence", () => {
  const { servers } = compiled({ clusterIP: "10.96.0.10:80", protocol: "UDP", affinitySeconds: 60 });
  assert.deepEqual(Object.keys(serverTexts(servers)), ["10.96.0.10:80/UDP rr persistent 60"]);
});

Deno.test("UDP endpoints that are serving but get no new flows keep existing flows with weight 0", () => {
  const [ready, servingHere, servingElsewhere] = ["10.1.0.1:53@here", "10.1.0.2:53@here", "10.1.1.3:53"];
  const everyone =
    planOf({ endpoints: [ready, servingHere, servingElsewhere], protocol: "UDP" }).servingEndpoints;
  const balancedAt = (text: PlanText, scheduler = "rr") => {
    const plan = {
      ...planOf({ ...text, clusterIP: "10.96.0.10:53", protocol: "UDP" }),
      servingEndpoints: everyone,
    };
    return Object.values(serverTexts(compile(plan, node, { ...defaultOptions, scheduler }).servers));
  };
  const resting = "10.1.0.2:53 weight 0 10.1.1.3:53 weight 0";
  assert.deepEqual(balancedAt({ endpoints: [ready] }), [`10.1.0.1:53 ${resting}`]);
  assert.deepEqual(balancedAt({ internal: "reject" }), [`10.1.0.1:53 weight 0 ${resting}`]);
  // Not the endpoints of other nodes: there may be thousands of them.
  assert.deepEqual(balancedAt({ internal: "local", endpoints: [ready] }), [
    "10.1.0.1:53 10.1.0.2:53 weight 0",
  ]);
  assert.deepEqual(balancedAt({ internal: "drop" }), ["10.1.0.1:53 weight 0 10.1.0.2:53 weight 0"]);
  // dh would pick them and reject the clients.
  assert.deepEqual(balancedAt({ endpoints: [ready] }, "dh"), ["10.1.0.1:53"]);
});

Deno.test("all virtual servers have the configured scheduler; mh hashes the port, too", () => {
  const of = (scheduler: string) =>
    Object.keys(serverTexts(compiled({ clusterIP: "10.96.0.10:80" }, node, { scheduler }).servers));
  assert.deepEqual(of("lc"), ["10.96.0.10:80/TCP lc"]);
  assert.deepEqual(of("mh"), ["10.96.0.10:80/TCP mh flags 0x18"]);
});

Deno.test("source ranges apply to load-balancer addresses only, from the first to the last address", () => {
  const { elements } = compiled({
    clusterIP: "10.96.0.10:80",
    externalIPs: ["192.0.2.1:80"],
    loadBalancerIPs: ["203.0.113.1:80"],
    sourceRanges: ["198.51.100.0/24", "198.51.101.7/32"],
  });
  assert.deepEqual(elementTexts(elements)["firewall-services"], ["203.0.113.1:80/TCP"]);
  assert.deepEqual(elementTexts(elements)["firewall-allowed"], [
    "203.0.113.1:80/TCP from 198.51.100.0-198.51.100.255",
    "203.0.113.1:80/TCP from 198.51.101.7-198.51.101.7",
  ]);
});

Deno.test("an external IP that is also a load-balancer IP is one virtual server, with the source ranges", () => {
  const { servers, elements } = compiled({
    externalIPs: ["203.0.113.1:80"],
    loadBalancerIPs: ["203.0.113.1:80"],
    sourceRanges: ["198.51.100.0/24"],
  });
  assert.equal(servers.length, 1);
  assert.deepEqual(elementTexts(elements)["ipvs-ips"], ["203.0.113.1"]);
  assert.deepEqual(elementTexts(elements)["firewall-services"], ["203.0.113.1:80/TCP"]);
});

Deno.test("a load balancer can query the health of a service at its own address", () => {
  const { elements } = compiled({
    protocol: "UDP",
    clusterIP: "10.96.0.10:53",
    loadBalancerIPs: ["203.0.113.1:53"],
    external: "local",
    healthCheckNodePort: 32000,
  });
  assert.deepEqual(elementTexts(elements)["health-checks"], ["203.0.113.1:32000/TCP"]);
});

Deno.test("an endpoint that may be on this node reaches itself like one that is", () => {
  const { elements } = compiled({
    clusterIP: "10.96.0.10:80",
    endpoints: ["10.1.0.1:8080@here", "10.1.0.2:8080@unknown", "10.1.1.3:8080"],
  });
  assert.deepEqual(elementTexts(elements)["hairpin-connections"], [
    "10.1.0.1 to 10.1.0.1",
    "10.1.0.2 to 10.1.0.2",
  ]);
});

Deno.test("endpoints in a service range are listed, because the other addresses of the range are dropped", () => {
  const { elements } = compiled({
    clusterIP: "10.96.0.10:80",
    endpoints: ["10.1.0.1:8080", "10.96.7.1:8080", "10.96.7.1:8081"],
  });
  assert.deepEqual(elementTexts(elements)["service-cidr-endpoints"], ["10.96.7.1"]);
});

Deno.test("IPv6 is compiled like IPv4, with longer addresses", () => {
  const nodePorts = [addressOf("fd00:7::1")];
  const { servers, addresses, elements } = compiled({
    clusterIP: "[fd00:96::10]:80",
    loadBalancerIPs: ["[2001:db8::1]:80"],
    nodePort: 30080,
    endpoints: ["[fd00:1::1]:8080@here"],
    sourceRanges: ["2001:db8:1::/48"],
  }, settingsOf("IPv6", { nodePorts, interfaceAddresses: nodePorts }));
  assert.deepEqual(Object.keys(serverTexts(servers)), [
    "[fd00:96::10]:80/TCP rr",
    "[2001:db8::1]:80/TCP rr",
    "[fd00:7::1]:30080/TCP rr",
  ]);
  assert.deepEqual(addresses.map(formatAddress), ["fd00:96::10", "2001:db8::1"]);
  assert.deepEqual(elementTexts(elements)["firewall-allowed"], [
    "[2001:db8::1]:80/TCP from 2001:db8:1::-2001:db8:1:ffff:ffff:ffff:ffff:ffff",
  ]);
  assert.deepEqual(elementTexts(elements)["hairpin-connections"], ["fd00:1::1 to fd00:1::1"]);
});

Deno.test("real servers have the weight of their endpoint, for every frontend", () => {
  const { servers } = compiled({
    clusterIP: "10.96.0.10:80",
    nodePort: 30080,
    external: "local",
    endpoints: ["10.1.0.1:8080@here weight 7", "10.1.1.2:8080 weight 0", "10.1.1.3:8080"],
  }, settingsOf("IPv4", { nodePorts: own.slice(0, 1) }));
  assert.deepEqual(serverTexts(servers), {
    "10.96.0.10:80/TCP rr": "10.1.0.1:8080 weight 7 10.1.1.2:8080 weight 0 10.1.1.3:8080",
    "192.168.7.1:30080/TCP rr": "10.1.0.1:8080 weight 7",
  });
});

Deno.test("with the local fallback, policy Local without a local endpoint sends everyone to the others, not masqueraded", () => {
  const { servers, elements } = compiled(
    {
      clusterIP: "10.96.0.10:80",
      loadBalancerIPs: ["203.0.113.1:80"],
      nodePort: 30080,
      internal: "drop",
      external: "local",
      endpoints: ["10.1.1.2:8080"],
    },
    settingsOf("IPv4", { nodePorts: own.slice(0, 1) }),
    { localFallback: true },
  );
  assert.deepEqual(serverTexts(servers), {
    "10.96.0.10:80/TCP rr": "10.1.1.2:8080",
    "203.0.113.1:80/TCP rr": "10.1.1.2:8080",
    "192.168.7.1:30080/TCP rr": "10.1.1.2:8080",
  });
  const { "virtual-servers": balanced, "cluster-ips": _, "ipvs-ips": __, ...others } = elementTexts(elements);
  assert.equal(balanced?.length, 3);
  assert.deepEqual(others, {}, "neither dropped nor masqueraded");
});

Deno.test("the local fallback does not affect services with local endpoints, policy Cluster, or rejected ones", () => {
  for (
    const text of [
      { internal: "local", external: "local", endpoints: ["10.1.0.1:8080@here", "10.1.1.2:8080"] },
      { endpoints: ["10.1.1.2:8080"] },
      { internal: "reject", external: "reject", endpoints: [] },
    ] as const
  ) {
    const plan = { clusterIP: "10.96.0.10:80", nodePort: 30080, ...text };
    assert.deepEqual({ ...compiled(plan, node, { localFallback: true }) }, { ...compiled(plan) });
  }
});
