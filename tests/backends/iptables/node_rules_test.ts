import assert from "node:assert/strict";
import { nodeRules } from "../../../backends/iptables/rules/node_rules.ts";
import type { NodeSettings } from "../../../core/plan/plan.ts";
import { addressOf, settingsOf } from "../plans.ts";
import { chainLines, lineOf } from "./support/rule_lines.ts";

// The listings are the output of `iptables-save` and `ip6tables-save` 1.8.9 with the rules of kube-proxy
// 1.37.1.

const allFeatures = { nfacct: true, dropsInvalid: true };

Deno.test("marked packets are masqueraded and forwarded, and invalid ones dropped", () => {
  assert.deepEqual(
    fixedLines(settingsOf("IPv4"), allFeatures),
    listing(`
      -A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN
      -A KUBE-POSTROUTING -j MARK --set-xmark 0x4000/0x0
      -A KUBE-POSTROUTING -m comment --comment "kubernetes service traffic requiring SNAT" -j MASQUERADE --random-fully
      -A KUBE-MARK-MASQ -j MARK --set-xmark 0x4000/0x4000
      filter: -A KUBE-FORWARD -m conntrack --ctstate INVALID -m nfacct --nfacct-name  ct_state_invalid_dropped_pkts -j DROP
      filter: -A KUBE-FORWARD -m comment --comment "kubernetes forwarding rules" -m mark --mark 0x4000/0x4000 -j ACCEPT
      filter: -A KUBE-FORWARD -m comment --comment "kubernetes forwarding conntrack rule" -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
    `),
  );
});

Deno.test("invalid packets are counted if counters exist, and not dropped if conntrack is liberal", () => {
  const forward = (context: typeof allFeatures) =>
    fixedLines(settingsOf("IPv4"), context).filter((line) => line.includes("INVALID"));
  assert.deepEqual(forward({ nfacct: false, dropsInvalid: true }), [
    "filter: -A KUBE-FORWARD -m conntrack --ctstate INVALID -j DROP",
  ]);
  assert.deepEqual(forward({ nfacct: true, dropsInvalid: false }), []);
});

Deno.test("the highest masquerade bit is written as an unsigned number", () => {
  const lines = fixedLines(settingsOf("IPv4", { masqueradeMark: 2 ** 31 }), allFeatures);
  assert.ok(lines.includes("-A KUBE-MARK-MASQ -j MARK --set-xmark 0x80000000/0x80000000"));
});

Deno.test("node ports come last, on local addresses except loopback ones that cannot serve them", () => {
  const last =
    '-m comment --comment "kubernetes service nodeports; NOTE: this must be the last rule in this chain"';
  assert.deepEqual(lastLines(settingsOf("IPv4", { localhostNodePorts: true })), [
    `-A KUBE-SERVICES ${last} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS`,
  ]);
  assert.deepEqual(lastLines(settingsOf("IPv4")), [
    `-A KUBE-SERVICES ! -d 127.0.0.0/8 ${last} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS`,
  ]);
  assert.deepEqual(lastLines(settingsOf("IPv6")), [
    `-A KUBE-SERVICES ! -d ::1/128 ${last} -m addrtype --dst-type LOCAL -j KUBE-NODEPORTS`,
  ]);
  const listed = { nodePorts: ["127.0.0.1", "192.0.2.10"].map(addressOf), localhostNodePorts: true };
  assert.deepEqual(lastLines(settingsOf("IPv4", listed)), [
    `-A KUBE-SERVICES -d 127.0.0.1/32 ${last} -j KUBE-NODEPORTS`,
    `-A KUBE-SERVICES -d 192.0.2.10/32 ${last} -j KUBE-NODEPORTS`,
  ]);
  assert.deepEqual(lastLines(settingsOf("IPv4", { nodePorts: [] })), []);
});

Deno.test("neighbours cannot reach loopback addresses if node ports answer on them", () => {
  const guard = (settings: NodeSettings) =>
    nodeRules(settings, allFeatures).joint.flatMap((chain) => chainLines(chain, settings.family));
  assert.deepEqual(guard(settingsOf("IPv4", { localhostNodePorts: true })), [
    "filter: -A KUBE-FIREWALL ! -s 127.0.0.0/8 -d 127.0.0.0/8 " +
    '-m comment --comment "block incoming localnet connections" ' +
    "-m conntrack ! --ctstate RELATED,ESTABLISHED,DNAT -j DROP",
  ]);
  assert.deepEqual(guard(settingsOf("IPv4")), []);
});

Deno.test("the jumps end up in kube-proxy's order when they are inserted one after another", () => {
  const { jumps } = nodeRules(settingsOf("IPv6"), allFeatures);
  const lines = jumps.toReversed().map(({ table, from, rule }) =>
    lineOf({ table, name: from }, rule, "IPv6")
  );
  const order = [
    "filter: -A INPUT",
    "filter: -A FORWARD",
    "filter: -A OUTPUT",
    "-A PRE",
    "-A OUTPUT",
    "-A POST",
  ];
  assert.deepEqual(
    order.flatMap((chain) => lines.filter((line) => line.startsWith(chain))),
    listing(`
      filter: -A INPUT -j KUBE-FIREWALL
      filter: -A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
      filter: -A INPUT -m comment --comment "kubernetes health check service ports" -j KUBE-NODEPORTS
      filter: -A INPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
      filter: -A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
      filter: -A FORWARD -m comment --comment "kubernetes forwarding rules" -j KUBE-FORWARD
      filter: -A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
      filter: -A FORWARD -m conntrack --ctstate NEW -m comment --comment "kubernetes externally-visible service portals" -j KUBE-EXTERNAL-SERVICES
      filter: -A OUTPUT -j KUBE-FIREWALL
      filter: -A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes load balancer firewall" -j KUBE-PROXY-FIREWALL
      filter: -A OUTPUT -m conntrack --ctstate NEW -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
      -A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
      -A OUTPUT -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
      -A POSTROUTING -m comment --comment "kubernetes postrouting rules" -j KUBE-POSTROUTING
    `),
  );
});

Deno.test("all of kube-proxy's chains exist, and every jump leads to one of them", () => {
  const { chains, shared, joint, jumps } = nodeRules(settingsOf("IPv6"), allFeatures);
  const names = [...chains, ...shared, ...joint].map(({ table, name }) => `${table} ${name}`);
  assert.deepEqual(names.toSorted(), [
    "filter KUBE-EXTERNAL-SERVICES",
    "filter KUBE-FIREWALL",
    "filter KUBE-FORWARD",
    "filter KUBE-NODEPORTS",
    "filter KUBE-PROXY-CANARY",
    "filter KUBE-PROXY-FIREWALL",
    "filter KUBE-SERVICES",
    "mangle KUBE-PROXY-CANARY",
    "nat KUBE-MARK-MASQ",
    "nat KUBE-NODEPORTS",
    "nat KUBE-POSTROUTING",
    "nat KUBE-PROXY-CANARY",
    "nat KUBE-SERVICES",
  ]);
  for (const { table, rule } of jumps) {
    assert.ok(rule.target?.target === "jump" && names.includes(`${table} ${rule.target.chain}`));
  }
});

function fixedLines(settings: NodeSettings, context: typeof allFeatures): readonly string[] {
  return nodeRules(settings, context).chains.flatMap((chain) => chainLines(chain, settings.family));
}

function lastLines(settings: NodeSettings): readonly string[] {
  return nodeRules(settings, allFeatures).shared.flatMap(({ table, name, last }) =>
    chainLines({ table, name, rules: last }, settings.family)
  );
}

function listing(text: string): readonly string[] {
  return text.trim().split("\n").map((line) => line.trim());
}
