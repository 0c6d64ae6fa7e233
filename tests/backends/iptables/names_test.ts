import assert from "node:assert/strict";
import { isChainOfOtherModes, isOurChain, isServiceChain } from "../../../backends/iptables/rules/names.ts";
import { endpointChain, serviceChain } from "./support/chain_names.ts";
import { planOf } from "../plans.ts";

const plan = { ...planOf({ name: "svc1", portName: "p80", endpoints: ["10.180.0.1:80"] }), namespace: "ns1" };
const [endpoint] = plan.clusterEndpoints;
assert.ok(endpoint);

Deno.test("chains of a service port have kube-proxy's names", () => {
  assert.equal(serviceChain("KUBE-SVC-", plan), "KUBE-SVC-XPGD46QRK7WJZT7O");
  assert.equal(serviceChain("KUBE-SVL-", plan), "KUBE-SVL-XPGD46QRK7WJZT7O");
  assert.equal(serviceChain("KUBE-EXT-", plan), "KUBE-EXT-XPGD46QRK7WJZT7O");
  assert.equal(serviceChain("KUBE-FW-", plan), "KUBE-FW-XPGD46QRK7WJZT7O");
  assert.equal(endpointChain(plan, endpoint), "KUBE-SEP-SXIVWICOYRO3J4NJ");
});

Deno.test("chains of IPv6 endpoints and of unnamed ports have the names of kube-proxy 1.37.1", () => {
  const sticky = planOf({ name: "sticky", portName: "", protocol: "UDP", endpoints: ["[fd00:1::9]:5353"] });
  const [six] = sticky.clusterEndpoints;
  assert.ok(six);
  assert.equal(serviceChain("KUBE-SVC-", sticky), "KUBE-SVC-U72AG2NTKV47436N");
  assert.equal(endpointChain(sticky, six), "KUBE-SEP-5N5QM43AKNADFR77");
});

Deno.test("ports of the same name with different protocols have different chains", () => {
  const overUdp = { ...plan, protocol: "UDP" as const };
  assert.notEqual(serviceChain("KUBE-SVC-", overUdp), serviceChain("KUBE-SVC-", plan));
  assert.notEqual(endpointChain(overUdp, endpoint), endpointChain(plan, endpoint));
});

Deno.test("a service port's chain is recognised by its prefix and the form of its hash", () => {
  for (const prefix of ["SVC", "SVL", "EXT", "XLB", "FW", "SEP"]) {
    assert.ok(isServiceChain(`KUBE-${prefix}-XPGD46QRK7WJZT7O`), prefix);
  }
  const others = [
    "KUBE-SVC-",
    "KUBE-SVC-MINE",
    "KUBE-SERVICES",
    "MY-KUBE-SVC-XPGD46QRK7WJZT7O",
    "cali-FORWARD",
  ];
  assert.deepEqual(others.filter(isServiceChain), []);
});

Deno.test("chains of kube-proxy's mode ipvs are ours to delete, in the tables where it has them", () => {
  for (const name of ["KUBE-NODE-PORT", "KUBE-LOAD-BALANCER"]) assert.ok(isOurChain("nat", name), name);
  for (
    const name of [
      "KUBE-NODE-PORT",
      "KUBE-SOURCE-RANGES-FIREWALL",
      "KUBE-IPVS-FILTER",
      "KUBE-IPVS-OUT-FILTER",
    ]
  ) assert.ok(isOurChain("filter", name), name);
  assert.ok(!isOurChain("filter", "KUBE-LOAD-BALANCER"));
  assert.ok(!isOurChain("nat", "KUBE-IPVS-FILTER"));
  assert.ok(!isOurChain("mangle", "KUBE-NODE-PORT"));
  // A chain that mode iptables has as well is not specific to mode ipvs.
  assert.ok(isChainOfOtherModes("nat", "KUBE-NODE-PORT"));
  assert.ok(!isChainOfOtherModes("nat", "KUBE-SERVICES"));
});

Deno.test("chains that other programs write to, and chains in other tables, are not ours to delete", () => {
  assert.ok(isOurChain("nat", "KUBE-SVC-XPGD46QRK7WJZT7O"));
  assert.ok(isOurChain("nat", "KUBE-MARK-MASQ"));
  assert.ok(isOurChain("filter", "KUBE-NODEPORTS"));
  for (const table of ["filter", "nat", "mangle"] as const) assert.ok(isOurChain(table, "KUBE-PROXY-CANARY"));
  assert.ok(!isOurChain("filter", "KUBE-FIREWALL"));
  assert.ok(!isOurChain("filter", "KUBE-SVC-XPGD46QRK7WJZT7O"));
  assert.ok(!isOurChain("filter", "KUBE-MARK-MASQ"));
  assert.ok(!isOurChain("mangle", "KUBE-SERVICES"));
  assert.ok(!isOurChain("mangle", "KUBE-KUBELET-CANARY"));
  assert.ok(!isOurChain("nat", "PREROUTING"));
});
