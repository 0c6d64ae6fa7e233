import assert from "node:assert/strict";
import { limitationsOf, warningsOf } from "../../../../backends/ebpf/services/limitations.ts";
import { addressOf, planOf, type PlanText, settingsOf } from "../../plans.ts";

function limitationsOfPlan(text: PlanText): readonly string[] {
  return limitationsOf(planOf(text)).map(({ cause, text }) => `${cause}: ${text}`);
}

Deno.test("SCTP to another port of the endpoint is a limitation, and names the frontends", () => {
  const sctp = { protocol: "SCTP", clusterIP: "10.96.0.10:80" } as const;
  assert.deepEqual(limitationsOfPlan({ ...sctp, endpoints: ["10.1.0.2:80", "10.1.0.3:80"] }), []);
  assert.deepEqual(limitationsOfPlan({ ...sctp, endpoints: [] }), []);
  const [limitation, ...more] = limitationsOfPlan({ ...sctp, nodePort: 30080, endpoints: ["10.1.0.2:80"] });
  assert.match(
    limitation ?? "",
    /^sctp-port-differs: .* to node port 30080\/SCTP that would get another port .*\(80\)/,
  );
  assert.deepEqual(more, []);
  const both = limitationsOfPlan({ ...sctp, nodePort: 30080, endpoints: ["10.1.0.2:80", "10.1.0.3:8080"] });
  assert.match(both.join(), /10\.96\.0\.10:80\/SCTP, node port 30080\/SCTP that .*\(80, 8080\)/);
  const ips = Array.from({ length: 6 }, (_, index) => `203.0.113.${index}:80`);
  assert.match(
    limitationsOfPlan({ ...sctp, externalIPs: ips, endpoints: ["10.1.0.2:8080"] }).join(),
    /203\.0\.113\.2:80\/SCTP, and 3 more that/,
  );
});

Deno.test("other protocols have no limitations", () => {
  for (const protocol of ["TCP", "UDP"] as const) {
    assert.deepEqual(
      limitationsOfPlan({ protocol, clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.2:8080"] }),
      [],
    );
  }
});

Deno.test("a ClusterIP that is an address of the node is warned of once", () => {
  const plans = [
    planOf({ name: "dns", clusterIP: "10.96.0.10:53" }),
    planOf({ name: "web", clusterIP: "10.96.0.11:80" }),
  ]
    .concat(planOf({ name: "dns", protocol: "UDP", clusterIP: "10.96.0.10:53" }));
  const warnings = (...addresses: readonly string[]) =>
    warningsOf({
      settings: [settingsOf("IPv4", { interfaceAddresses: addresses.map(addressOf) })],
      plans: new Map(plans.map((plan) => [plan.key, plan])),
    });
  assert.deepEqual(warnings("192.0.2.1", "169.254.20.10"), []);
  const [warning, ...more] = warnings("192.0.2.1", "10.96.0.10");
  assert.match(
    warning ?? "",
    /ClusterIP 10\.96\.0\.10 of Service default\/dns is also an address of this node/,
  );
  assert.deepEqual(more, []);
});
