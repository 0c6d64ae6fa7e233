import assert from "node:assert/strict";
import { compile } from "../../../backends/iptables/rules/compile.ts";
import { sameRule, sameRules } from "../../../backends/iptables/rules/rule.ts";
import { LOOPBACK } from "../../../core/net/address.ts";
import { cidrOf, planOf, settingsOf } from "../plans.ts";

Deno.test("equal plans compile to equal rules, and every change of a plan changes the rules", () => {
  const text = {
    clusterIP: "10.96.0.10:80",
    nodePort: 30080,
    affinitySeconds: 10,
    endpoints: ["10.1.0.1:80@here", "10.2.0.1:80", "10.2.0.2:80"],
  };
  const chains = (change: Parameters<typeof planOf>[0] = {}) =>
    compile(planOf({ ...text, ...change }), { settings: settingsOf("IPv4"), isLarge: false, nfacct: false })
      .chains;
  const same = (a: ReturnType<typeof chains>, b: ReturnType<typeof chains>) =>
    a.length === b.length && a.every(({ rules }, index) => sameRules(rules, b[index]?.rules ?? []));
  assert.ok(same(chains(), chains()));
  for (
    const change of [
      { clusterIP: "10.96.0.11:80" },
      { clusterIP: "10.96.0.10:81" },
      { affinitySeconds: 11 },
      { affinitySeconds: 0 },
      { portName: "https" },
      { protocol: "UDP" },
      { external: "local" },
      { endpoints: ["10.1.0.1:80@here", "10.2.0.1:80", "10.2.0.3:80"] },
      { endpoints: ["10.1.0.1:80@here", "10.2.0.1:80"] },
    ] as const
  ) {
    assert.ok(!same(chains(), chains(change)), JSON.stringify(change));
  }
});

Deno.test("rules are different if iptables-save prints them differently", () => {
  const cidr = cidrOf("10.0.0.0/8");
  const rules = [
    { matches: [] },
    { matches: [], source: { cidr, inverted: false } },
    { matches: [], source: { cidr, inverted: true } },
    { matches: [], destination: { cidr, inverted: false } },
    { matches: [], destination: { cidr: cidrOf("10.0.0.0/9"), inverted: false } },
    { matches: [], inInterface: { name: "cbr0", inverted: false } },
    { matches: [], inInterface: { name: "cbr0", inverted: true } },
    { matches: [], inInterface: { name: "cbr1", inverted: false } },
    { matches: [{ match: "ctstate", states: ["NEW"], inverted: false }] },
    { matches: [{ match: "ctstate", states: ["NEW"], inverted: true }] },
    { matches: [{ match: "ctstate", states: ["INVALID"], inverted: false }] },
    { matches: [{ match: "mark", value: 1, mask: 1, inverted: false }] },
    { matches: [{ match: "mark", value: 1, mask: 1, inverted: true }] },
    { matches: [{ match: "mark", value: 1, mask: 3, inverted: false }] },
    { matches: [{ match: "addrtype", of: "source" }] },
    { matches: [{ match: "addrtype", of: "destination" }] },
    { matches: [{ match: "statistic", probability: 0.5 }] },
    { matches: [{ match: "statistic", probability: 0.25 }] },
    { matches: [{ match: "nfacct", name: "a" }] },
    { matches: [{ match: "recent-set", name: "a" }] },
    { matches: [{ match: "recent-check", name: "a", seconds: 1 }] },
    { matches: [{ match: "recent-check", name: "a", seconds: 2 }] },
    { matches: [{ match: "protocol" }] },
    { matches: [], target: { target: "ACCEPT" } },
    { matches: [], target: { target: "DROP" } },
    { matches: [], target: { target: "MARK", value: 1, mask: 0 } },
    { matches: [], target: { target: "MARK", value: 1, mask: 1 } },
    { matches: [], target: { target: "DNAT", address: LOOPBACK.IPv4, port: 80 } },
    { matches: [], target: { target: "DNAT", address: LOOPBACK.IPv4, port: 81 } },
    { matches: [], target: { target: "DNAT", address: LOOPBACK.IPv6, port: 80 } },
  ] satisfies Parameters<typeof sameRule>[0][];
  for (const [index, a] of rules.entries()) {
    for (const [other, b] of rules.entries()) {
      assert.equal(sameRule(structuredClone(a), b), index === other, JSON.stringify([a, b]));
    }
  }
});
