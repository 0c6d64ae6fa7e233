import assert from "node:assert/strict";
import { elementsOf } from "../../../backends/nftables/compile.ts";
import { cidrOf, planOf } from "../plans.ts";
import { textsOf } from "./element_texts.ts";

Deno.test("a ClusterIP goes to the class for its number of endpoints, which are listed by slot", () => {
  const plan = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:8080", "10.1.1.2:8081"] });
  assert.deepEqual(textsOf(plan), [
    "service-ips: 10.96.0.10 . tcp . 80 : goto cluster-2",
    "endpoints: 10.96.0.10 . tcp . 80 . 0 : 10.1.0.1:8080",
    "endpoints: 10.96.0.10 . tcp . 80 . 1 : 10.1.1.2:8081",
    "cluster-ips: 10.96.0.10",
  ]);
});

Deno.test("internalTrafficPolicy Local uses the list of local endpoints", () => {
  const plan = planOf({
    protocol: "UDP",
    clusterIP: "10.96.0.10:53",
    internal: "local",
    endpoints: ["10.1.0.1:53@here", "10.1.1.2:53"],
  });
  assert.deepEqual(textsOf(plan), [
    "service-ips: 10.96.0.10 . udp . 53 : goto local-1",
    "local-endpoints: 10.96.0.10 . udp . 53 . 0 : 10.1.0.1:53",
    "cluster-ips: 10.96.0.10",
    "hairpin-connections: 10.1.0.1 . 10.1.0.1 . udp . 53",
  ]);
});

Deno.test("an endpoint that may be on this node reaches itself like one that is", () => {
  const plan = planOf({
    clusterIP: "10.96.0.10:80",
    endpoints: ["10.1.0.1:8080@here", "10.1.0.2:8080@unknown", "10.1.1.3:8080"],
  });
  assert.deepEqual(textsOf(plan).filter((text) => text.startsWith("hairpin-connections")), [
    "hairpin-connections: 10.1.0.1 . 10.1.0.1 . tcp . 8080",
    "hairpin-connections: 10.1.0.2 . 10.1.0.2 . tcp . 8080",
  ]);
});

Deno.test("endpoints in a service range are listed, because the other addresses of the range are dropped", () => {
  const plan = planOf({
    clusterIP: "10.96.0.10:80",
    endpoints: ["10.1.0.1:8080", "10.96.7.1:8080", "10.96.7.1:8081", "10.97.0.1:8080"],
  });
  const listed = (...ranges: readonly string[]) =>
    textsOf(plan, ranges.map(cidrOf)).filter((text) => text.startsWith("service-cidr-endpoints"));
  assert.deepEqual(listed("10.96.0.0/16"), ["service-cidr-endpoints: 10.96.7.1"]);
  assert.deepEqual(listed("10.97.0.0/16", "10.96.0.0/16"), [
    "service-cidr-endpoints: 10.96.7.1",
    "service-cidr-endpoints: 10.97.0.1",
  ]);
  assert.deepEqual(listed(), []);
});

Deno.test("external addresses and NodePorts have classes that masquerade", () => {
  const plan = planOf({
    externalIPs: ["192.0.2.1:80"],
    loadBalancerIPs: ["203.0.113.1:80"],
    nodePort: 30080,
  });
  assert.deepEqual(textsOf(plan), [
    "service-ips: 192.0.2.1 . tcp . 80 : goto external-1",
    "endpoints: 192.0.2.1 . tcp . 80 . 0 : 10.1.0.1:8080",
    "service-ips: 203.0.113.1 . tcp . 80 : goto external-1",
    "endpoints: 203.0.113.1 . tcp . 80 . 0 : 10.1.0.1:8080",
    "service-nodeports: tcp . 30080 : goto external-nodeport-1",
    "nodeport-endpoints: tcp . 30080 . 0 : 10.1.0.1:8080",
  ]);
});

Deno.test("externalTrafficPolicy Local lists both the local and the cluster endpoints", () => {
  const plan = planOf({
    loadBalancerIPs: ["[2001:db8::1]:80"],
    nodePort: 30080,
    external: "local",
    endpoints: ["[fd00::1]:80@here", "[fd00::2]:80"],
  });
  assert.deepEqual(textsOf(plan), [
    "service-ips: 2001:db8::1 . tcp . 80 : goto local-external-1-of-2",
    "endpoints: 2001:db8::1 . tcp . 80 . 0 : [fd00::1]:80",
    "endpoints: 2001:db8::1 . tcp . 80 . 1 : [fd00::2]:80",
    "local-endpoints: 2001:db8::1 . tcp . 80 . 0 : [fd00::1]:80",
    "service-nodeports: tcp . 30080 : goto local-nodeport-1-of-2",
    "nodeport-endpoints: tcp . 30080 . 0 : [fd00::1]:80",
    "nodeport-endpoints: tcp . 30080 . 1 : [fd00::2]:80",
    "local-nodeport-endpoints: tcp . 30080 . 0 : [fd00::1]:80",
    "hairpin-connections: fd00::1 . fd00::1 . tcp . 80",
  ]);
});

Deno.test("externalTrafficPolicy Local without local endpoints drops traffic that is not short-circuited", () => {
  const plan = planOf({ nodePort: 30080, external: "local", endpoints: ["10.1.1.2:80"] });
  assert.deepEqual(textsOf(plan), [
    "service-nodeports: tcp . 30080 : goto local-nodeport-0-of-1",
    "no-endpoint-nodeports: tcp . 30080 : goto drop-chain",
    "nodeport-endpoints: tcp . 30080 . 0 : 10.1.1.2:80",
  ]);
});

Deno.test("frontends without endpoints are rejected or dropped, and not dispatched", () => {
  const plan = planOf({
    protocol: "SCTP",
    clusterIP: "10.96.0.10:80",
    nodePort: 30080,
    internal: "drop",
    external: "reject",
    endpoints: [],
  });
  assert.deepEqual(textsOf(plan), [
    "no-endpoint-services: 10.96.0.10 . sctp . 80 : goto drop-chain",
    "cluster-ips: 10.96.0.10",
    "no-endpoint-nodeports: sctp . 30080 : goto reject-chain",
  ]);
});

Deno.test("source ranges apply to load-balancer addresses only, with or without endpoints", () => {
  const plan = planOf({
    externalIPs: ["192.0.2.1:80"],
    loadBalancerIPs: ["203.0.113.1:80"],
    external: "reject",
    endpoints: [],
    sourceRanges: ["198.51.100.0/24", "192.0.2.7/32", "0.0.0.0/1"],
  });
  assert.deepEqual(textsOf(plan), [
    "no-endpoint-services: 192.0.2.1 . tcp . 80 : goto reject-chain",
    "no-endpoint-services: 203.0.113.1 . tcp . 80 : goto reject-chain",
    "firewall-services: 203.0.113.1 . tcp . 80",
    "firewall-allowed: 203.0.113.1 . tcp . 80 . 198.51.100.0-198.51.100.255",
    "firewall-allowed: 203.0.113.1 . tcp . 80 . 192.0.2.7-192.0.2.7",
    "firewall-allowed: 203.0.113.1 . tcp . 80 . 0.0.0.0-127.255.255.255",
  ]);
});

Deno.test("empty source ranges close the load-balancer address", () => {
  const plan = planOf({ loadBalancerIPs: ["203.0.113.1:80"], sourceRanges: [] });
  assert.ok(textsOf(plan).includes("firewall-services: 203.0.113.1 . tcp . 80"));
});

Deno.test("session affinity uses chains of the service and no endpoint lists", () => {
  const plan = planOf({ clusterIP: "10.96.0.10:80", nodePort: 30080, affinitySeconds: 10 });
  assert.deepEqual(textsOf(plan), [
    "service-ips: 10.96.0.10 . tcp . 80 : goto service-SUSTUHLJ-default/web/tcp/http",
    "cluster-ips: 10.96.0.10",
    "service-nodeports: tcp . 30080 : goto external-SUSTUHLJ-default/web/tcp/http",
  ]);
});

Deno.test("an external IP that is also a load-balancer IP is one frontend, with source ranges", () => {
  const plan = planOf({
    externalIPs: ["203.0.113.1:80"],
    loadBalancerIPs: ["203.0.113.1:80"],
    sourceRanges: ["192.0.2.0/24"],
  });
  assert.deepEqual(textsOf(plan), [
    "service-ips: 203.0.113.1 . tcp . 80 : goto external-1",
    "endpoints: 203.0.113.1 . tcp . 80 . 0 : 10.1.0.1:8080",
    "firewall-services: 203.0.113.1 . tcp . 80",
    "firewall-allowed: 203.0.113.1 . tcp . 80 . 192.0.2.0-192.0.2.255",
  ]);
});

Deno.test("verdicts have the name of the service port as comment, truncated to the length that nft loads", () => {
  const longest = "x".repeat(63);
  const plan = { ...planOf({ name: longest, portName: longest, nodePort: 30080 }), namespace: longest };
  const [dispatch] = elementsOf(plan, []);
  assert.equal(dispatch?.comment.length, 128);
  assert.equal(elementsOf(planOf({ nodePort: 30080 }), [])[0]?.comment, "default/web:http");
});
