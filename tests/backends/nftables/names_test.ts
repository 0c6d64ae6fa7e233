import assert from "node:assert/strict";
import { affinitySetName, endpointChain, serviceChain } from "../../../backends/nftables/names.ts";
import { planOf } from "../plans.ts";

const plan = { ...planOf({ name: "svc1", portName: "p80", endpoints: ["10.180.0.1:80"] }), namespace: "ns1" };
const [endpoint] = plan.clusterEndpoints;
assert.ok(endpoint);

Deno.test("chains of a service port have the names that kube-proxy gives them", () => {
  assert.equal(serviceChain("service", plan), "service-ULMVA6XW-ns1/svc1/tcp/p80");
  assert.equal(serviceChain("external", plan), "external-ULMVA6XW-ns1/svc1/tcp/p80");
  assert.equal(endpointChain(plan, endpoint), "endpoint-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80");
  assert.equal(affinitySetName(plan, endpoint), "affinity-5OJB2KTY-ns1/svc1/tcp/p80__10.180.0.1/80");
});

Deno.test("names of IPv6 endpoints have dots in place of colons, which nft reserves", () => {
  const [six] = planOf({ family: "IPv6", endpoints: ["[fd00:1::2]:80"] }).clusterEndpoints;
  assert.ok(six);
  assert.match(endpointChain(plan, six), /__fd00\.1\.\.2\/80$/);
});

Deno.test("long names are truncated as in kube-proxy, and stay below the kernel's limit", () => {
  const long = { ...plan, namespace: "n".repeat(100), name: "s".repeat(100), portName: "p".repeat(63) };
  const name = endpointChain(long, endpoint);
  assert.equal(name.length, "endpoint-".length + 240);
  assert.ok(name.endsWith("..."));
});
