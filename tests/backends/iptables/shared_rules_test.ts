import assert from "node:assert/strict";
import { compile, haveSameSharedRules } from "../../../backends/iptables/rules/compile.ts";
import { planOf, type PlanText, settingsOf } from "../plans.ts";

const here = "10.1.0.1:80@here";
const there = "10.1.1.2:80";
const none = { endpoints: [], internal: "reject", external: "reject" } as const;

/** Plans of one service port. */
const plans = ([
  { endpoints: [here] },
  { endpoints: [here, there] },
  { endpoints: [there] },
  { endpoints: [here, there], external: "local" },
  { endpoints: [there], external: "local" },
  { endpoints: [there], internal: "drop", external: "local" },
  { endpoints: [here, there], internal: "local" },
  { endpoints: [here], affinitySeconds: 10 },
  { endpoints: [here], sourceRanges: ["192.0.2.0/24"] },
  { endpoints: [here, there], sourceRanges: ["192.0.2.0/24", "192.0.3.0/24"] },
  { endpoints: [here], healthCheckNodePort: 30000 },
  { endpoints: [here], nodePort: 30081 },
  { endpoints: [here, there], loadBalancerIPs: ["203.0.113.2:80"] },
  none,
  { ...none, nodePort: 30081 },
] satisfies PlanText[]).map((text) =>
  planOf({
    clusterIP: "10.96.0.10:80",
    externalIPs: ["192.0.2.1:80"],
    loadBalancerIPs: ["203.0.113.1:80"],
    nodePort: 30080,
    ...text,
  })
);

Deno.test("plans that are said to have the same rules in shared chains have them, and other endpoints change none", () => {
  const context = { settings: settingsOf("IPv4"), isLarge: false, nfacct: true };
  const same: string[] = [];
  for (const [i, old] of plans.entries()) {
    for (const [j, next] of plans.entries()) {
      if (!haveSameSharedRules(old, next)) continue;
      assert.deepEqual(compile(old, context).shared, compile(next, context).shared, `plans ${i} and ${j}`);
      if (i < j) same.push(`${i} ${j}`);
    }
  }
  assert.deepEqual(same, ["0 1", "0 2", "0 7", "1 2", "1 7", "2 7"]);
});
