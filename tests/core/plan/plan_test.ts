import assert from "node:assert/strict";
import {
  describeFrontend,
  planKey,
  printedName,
  printedNameOf,
  type ServicePortPlan,
} from "../../../core/plan/plan.ts";
import { planService } from "../../../core/plan/planner.ts";
import { samePlan } from "../../../core/plan/same_plan.ts";
import { address, aService, aSlice, cidr, here, webPort } from "./builders.ts";

const [web] = planService(
  aService({
    ports: [{ ...webPort, nodePort: 30080 }],
    loadBalancerIPs: [address("203.0.113.5")],
    loadBalancerSourceRanges: [cidr("10.0.0.0/8")],
    externalTrafficPolicy: "Local",
  }),
  [aSlice([{ at: "10.1.0.1", nodeName: "here" }, { at: "10.1.0.2" }])],
  here,
);
assert.ok(web !== undefined);

Deno.test("service ports and frontends are formatted for messages", () => {
  const [ipv6] = planService(
    aService({ clusterIPs: [address("fd00::10")], ports: [{ ...webPort, name: "" }] }),
    [],
    here,
  );
  assert.ok(ipv6 !== undefined);
  const described = (plan: ServicePortPlan, index = 0) => {
    const frontend = plan.frontends[index];
    return frontend && `${printedName(plan)} (${describeFrontend(frontend, plan.protocol)})`;
  };
  assert.equal(described(web), "default/web:http (10.96.0.10:80/TCP)");
  assert.equal(described(ipv6), "default/web ([fd00::10]:80/TCP)");
  assert.equal(described(web, 2), "default/web:http (node port 30080/TCP)");
});

Deno.test("the printed name can be derived from a key", () => {
  for (const portName of ["", "http"]) {
    const port = { namespace: "shop", name: "web.v2", portName, protocol: "SCTP", family: "IPv6" } as const;
    assert.equal(printedNameOf(planKey(port)), printedName(port));
  }
});

Deno.test("plans are equal until anything relevant differs", () => {
  const copy = structuredClone(web);
  assert.ok(samePlan(web, web) && samePlan(web, copy));
  const [one, other] = web.clusterEndpoints;
  assert.ok(one !== undefined && other !== undefined);
  const different: Partial<ServicePortPlan>[] = [
    { key: planKey({ ...web, portName: "other" }) },
    { affinitySeconds: 1 },
    { internal: { verdict: "drop" } },
    { internal: { verdict: "balance", to: "local", masquerade: "off-node" } },
    { external: { verdict: "balance", to: "cluster", masquerade: "all" } },
    { frontends: web.frontends.slice(1) },
    { frontends: web.frontends.with(0, { kind: "ExternalIP", address: address("10.96.0.10"), port: 80 }) },
    { frontends: web.frontends.with(0, { kind: "ClusterIP", address: address("10.96.0.11"), port: 80 }) },
    { frontends: web.frontends.with(-1, { kind: "NodePort", port: 30081 }) },
    { clusterEndpoints: [one] },
    { clusterEndpoints: [other, one] },
    { clusterEndpoints: [one, { ...other, port: 1 }] },
    { clusterEndpoints: [one, { ...other, isLocal: true }] },
    { clusterEndpoints: [{ ...one, isNodeUnknown: true }, other] },
    { localEndpoints: [] },
    { servingEndpoints: [one] },
    { sourceRanges: undefined },
    { sourceRanges: [cidr("10.0.0.0/9")] },
  ];
  for (const change of different) assert.ok(!samePlan(web, { ...copy, ...change }), JSON.stringify(change));
});
