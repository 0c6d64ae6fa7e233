import assert from "node:assert/strict";
import { strandsConnections, strandsUdpSockets } from "../../../../backends/ebpf/sockets/stale_sockets.ts";
import type { ServicePortPlan } from "../../../../core/plan/plan.ts";
import { planOf } from "../plans.ts";

const both = ["10.1.0.1:80", "10.1.0.2:80"];
const one = ["10.1.0.1:80"];
const tcp = (endpoints: readonly string[], nodePort?: number) =>
  planOf({ clusterIP: "10.96.0.10:80", endpoints, ...(nodePort === undefined ? {} : { nodePort }) });
const udp = (endpoints: readonly string[], nodePort?: number) =>
  planOf({
    clusterIP: "10.96.0.10:53",
    protocol: "UDP",
    endpoints,
    ...(nodePort === undefined ? {} : { nodePort }),
  });

/** Protocols whose sockets may lose their endpoint by a change. */
function stranded(old: ServicePortPlan | undefined, next: ServicePortPlan | undefined): string {
  const key = (old ?? next)?.key;
  assert(key !== undefined);
  const change = { key, old, new: next };
  return `${strandsConnections(change) ? "TCP" : ""}${strandsUdpSockets(change) ? "UDP" : ""}`;
}

Deno.test("an endpoint that is not listed any more strands sockets", () => {
  assert.equal(stranded(tcp(both), tcp(one)), "TCP");
  assert.equal(stranded(udp(both), udp(one)), "UDP");
  assert.equal(stranded(tcp(one), tcp(["10.1.0.1:81"])), "TCP", "another port is another endpoint");
  assert.equal(stranded(tcp(one), tcp([])), "TCP");
});

Deno.test("an endpoint that only stops getting new connections strands no sockets", () => {
  const draining = (plan: ServicePortPlan) => ({ ...plan, clusterEndpoints: plan.clusterEndpoints.slice(1) });
  assert.equal(stranded(tcp(both), draining(tcp(both))), "");
  assert.equal(stranded(udp(both), draining(udp(both))), "");
  assert.equal(stranded(tcp(one), tcp(both)), "");
  assert.equal(stranded(undefined, tcp(both)), "");
});

Deno.test("a removed service or frontend strands UDP sockets, not connections", () => {
  assert.equal(stranded(udp(both), undefined), "UDP");
  assert.equal(stranded(udp(both, 30053), udp(both)), "UDP");
  assert.equal(stranded(tcp(both), undefined), "");
  assert.equal(stranded(tcp(both, 30080), tcp(both)), "");
});
