import assert from "node:assert/strict";
import { everyKindOfPlan, everyKindOfSettings } from "../everything.ts";
import { planOf, settingsOf } from "../plans.ts";
import { FakeTable } from "./batches.ts";
import { rulesIn } from "./rule_texts.ts";

const [plainSettings, interfaceSettings, prefixSettings, masqueradeAllSettings] = everyKindOfSettings;

const count = "update @service-connections { ip daddr . meta l4proto . th dport counter }";

Deno.test("connections are counted before they are translated, and refused ones by reason", () => {
  const plan = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80@here"] });
  const rules = rulesIn(new FakeTable([plan]).created);
  const byAddress = "{ ip daddr . meta l4proto . th dport counter }";
  assert.equal(rules["cluster-1"]?.[0], count);
  assert.deepEqual(rules["reject-chain"], [`update @refused-no-endpoints ${byAddress}`, "reject"]);
  assert.deepEqual(rules["drop-chain"], [`update @refused-no-local-endpoints ${byAddress}`, "drop"]);
  assert.deepEqual(rules["firewall-drop"], [`update @refused-source-range ${byAddress}`, "drop"]);
});

Deno.test("with --traffic-metrics=full, packets are counted before the translation, and replies after it", () => {
  const plan = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80@here"] });
  const rules = rulesIn(new FakeTable([plan], settingsOf("IPv4", { trafficMetrics: "full" })).created);
  const [to, from] = ["ip daddr . meta l4proto . th dport", "ip saddr . meta l4proto . th sport"];
  assert.deepEqual(rules["cluster-1"]?.slice(0, 3), [
    count,
    `update @packets-to-endpoints { ${to} counter }`,
    `update @service-frontends { ${to} }`,
  ]);
  assert.deepEqual(rules["count-to-endpoints"], [`${to} @packets-to-endpoints accept`]);
  assert.deepEqual(rules["count-from-endpoints"], [
    `${from} @packets-from-endpoints accept`,
    `${from} @service-frontends update @packets-from-endpoints { ${from} counter }`,
  ]);
  const enters = (chain: string, direction: string) =>
    `ct status dnat ct direction ${direction} goto ${chain}`;
  assert.deepEqual(rules["count-output"], [enters("count-to-endpoints", "original")]);
  assert.deepEqual(rules["count-postrouting"], [enters("count-from-endpoints", "reply")]);
  assert.deepEqual(rules["count-prerouting"], [
    `iifname != "lo" ${enters("count-to-endpoints", "original")}`,
  ]);
  assert.deepEqual(rules["count-input"], [`iifname != "lo" ${enters("count-from-endpoints", "reply")}`]);
});

Deno.test("with --traffic-metrics=off nothing is counted", () => {
  const settings = settingsOf("IPv4", { trafficMetrics: "off" });
  const rules = rulesIn(new FakeTable(everyKindOfPlan, settings).created);
  assert.deepEqual(Object.values(rules).flat().filter((rule) => rule.includes("counter")), []);
});

Deno.test("connections to a ClusterIP are marked unless they come from a local pod", () => {
  const first = (settings = plainSettings) =>
    rulesIn(new FakeTable([], settings?.[0]).created)["services"]?.[0];
  const toClusterIP = "ip daddr @cluster-ips";
  const mark = "meta mark set meta mark | 0x00004000";
  assert.equal(first(), `${toClusterIP} ip saddr != 10.1.0.0/24 ${mark}`);
  assert.equal(first(interfaceSettings), `${toClusterIP} iifname != "cbr0" ${mark}`);
  assert.equal(
    first(prefixSettings),
    `${toClusterIP} iifname != "veth*" meta mark set meta mark | 0x40000000`,
  );
  assert.equal(first(masqueradeAllSettings), `${toClusterIP} ${mark}`);
  const unknown = settingsOf("IPv4", { localTraffic: { mode: "none" } });
  assert.equal(first([unknown]), "ip daddr . meta l4proto . th dport vmap @service-ips");
});

Deno.test("NodePorts are served on every address except loopback, or on the listed addresses", () => {
  const nodePorts = (settings = plainSettings) => {
    const rules = rulesIn(new FakeTable([], settings?.[0]).created);
    return [rules["services"]?.at(-1), ...rules["nodeport-endpoints-check"] ?? []];
  };
  assert.deepEqual(nodePorts(), [
    "fib daddr type local ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @service-nodeports",
    "ip daddr != 127.0.0.0/8 meta l4proto . th dport vmap @no-endpoint-nodeports",
  ]);
  assert.deepEqual(nodePorts(interfaceSettings), [
    "ip daddr @nodeport-ips meta l4proto . th dport vmap @service-nodeports",
    "ip daddr @nodeport-ips meta l4proto . th dport vmap @no-endpoint-nodeports",
  ]);
});

Deno.test("externalTrafficPolicy Local: pods and the node use all endpoints, others the endpoints of this node", () => {
  const plan = planOf({
    loadBalancerIPs: ["203.0.113.2:53"],
    nodePort: 30081,
    external: "local",
    endpoints: ["10.1.0.1:53@here", "10.1.1.2:53"],
  });
  const rules = rulesIn(new FakeTable([plan]).created);
  const byAddress = "dnat ip to ip daddr . meta l4proto . th dport . numgen random mod";
  assert.deepEqual(rules["local-external-1-of-2"], [
    count,
    `ip saddr 10.1.0.0/24 ${byAddress} 2 map @endpoints comment "short-circuit pod traffic"`,
    'fib saddr type local meta mark set meta mark | 0x00004000 comment "masquerade local traffic"',
    `fib saddr type local ${byAddress} 2 map @endpoints comment "short-circuit local traffic"`,
    `${byAddress} 1 map @local-endpoints`,
  ]);
  assert.equal(
    rules["local-nodeport-1-of-2"]?.at(-1),
    "dnat ip to meta l4proto . th dport . numgen random mod 1 map @local-nodeport-endpoints",
  );
});

Deno.test("externalTrafficPolicy Local without local endpoints has no rule for others, whom the filter chains drop", () => {
  const plan = planOf({ nodePort: 30082, external: "local", endpoints: ["10.1.1.2:80"] });
  const rules = rulesIn(new FakeTable([plan]).created)["local-nodeport-0-of-1"];
  assert.deepEqual(rules?.filter((rule) => rule.includes("@service-connections")), [
    `ip saddr 10.1.0.0/24 ${count} comment "short-circuit pod traffic"`,
    `fib saddr type local ${count} comment "short-circuit local traffic"`,
  ]);
  assert.equal(rules?.length, 5);
  assert.match(rules?.at(-1) ?? "", /^fib saddr type local .* comment "short-circuit local traffic"$/);
});

Deno.test("session affinity: a known client goes to its endpoint, whose set receives every client", () => {
  const plan = planOf({
    name: "sticky",
    clusterIP: "10.96.0.14:80",
    affinitySeconds: 10800,
    endpoints: ["10.1.0.1:80@here", "10.1.1.2:80"],
  });
  const rules = rulesIn(new FakeTable([plan]).created);
  const [here, there] = [
    "OXF5D774-default/sticky/tcp/http__10.1.0.1/80",
    "PZDQFOIC-default/sticky/tcp/http__10.1.1.2/80",
  ];
  assert.deepEqual(rules["service-H6U4RGLG-default/sticky/tcp/http"], [
    `ip saddr @affinity-${here} goto endpoint-${here}`,
    `ip saddr @affinity-${there} goto endpoint-${there}`,
    "numgen random mod 2 vmap { … }",
  ]);
  assert.deepEqual(rules[`endpoint-${there}`], [
    `update @affinity-${there} { ip saddr }`,
    count,
    "meta l4proto tcp dnat to 10.1.1.2:80",
  ]);
});

Deno.test("connections to unallocated service addresses are dropped, those to undefined ports of a ClusterIP rejected", () => {
  const rules = rulesIn(new FakeTable([]).created);
  assert.deepEqual(rules["cluster-ips-check"], [
    "ip daddr @cluster-ips reject",
    'ip daddr 10.96.0.0/12 ip daddr != @service-cidr-endpoints counter name "refused-unallocated-address" drop',
  ]);
  // Not those that a service has sent to an endpoint in a service range.
  for (const chain of ["filter-forward", "filter-output"]) {
    assert.equal(rules[chain]?.at(-1), "ct state new ct status ! dnat jump cluster-ips-check");
  }
});
