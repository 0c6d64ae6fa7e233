import assert from "node:assert/strict";
import { healthCheckOf } from "../../../core/plan/health_check.ts";
import type { EndpointSlice, Service } from "../../../core/objects/objects.ts";
import { address, aService, aSlice, here } from "./builders.ts";

const service = aService({ healthCheckNodePort: 32100 });

function count(
  slices: readonly EndpointSlice[],
  of: Service = service,
): readonly (readonly [string, number])[] {
  return [...healthCheckOf(of, slices, here)?.localEndpoints ?? []];
}

Deno.test("a Service without a health-check node port has no health check", () => {
  assert.equal(healthCheckOf(aService(), [], here), undefined);
});

Deno.test("ready endpoints on this node count, whatever their hints", () => {
  const nodeName = "here";
  const slice = aSlice([
    { at: "10.1.0.1", nodeName },
    { at: "10.1.0.2", nodeName, zoneHints: ["elsewhere"] },
    { at: "10.1.0.3", nodeName: "there" },
    { at: "10.1.0.4" },
    { at: "10.1.0.5", nodeName, ready: false, serving: true, terminating: true },
    { at: "10.1.0.6", nodeName, ready: false, serving: false },
  ]);
  assert.deepEqual(count([slice]), [["IPv4", 2]]);
  assert.deepEqual(count([]), [["IPv4", 0]]);
});

Deno.test("a pod counts once, whatever the number of its ports", () => {
  const ports = (["http", "https", "unknown to the Service"] as const).map((name, index) => ({
    name,
    protocol: "TCP",
    port: 8080 + index,
  } as const));
  const first = aSlice([{ at: "10.1.0.1", nodeName: "here" }], { ports });
  const second = aSlice([{ at: "10.1.0.1", nodeName: "here" }, { at: "10.1.0.2", nodeName: "here" }], {
    name: "web-2",
    ports: ports.slice(2),
  });
  assert.deepEqual(count([first, second]), [["IPv4", 2]]);
  assert.deepEqual(count([aSlice([{ at: "10.1.0.1", nodeName: "here" }], { ports: [] })]), [["IPv4", 0]]);
});

Deno.test("of duplicates in two slices the one that is not terminating counts", () => {
  const ending = aSlice([{ at: "10.1.0.1", nodeName: "here", ready: false, terminating: true }]);
  const ready = aSlice([{ at: "10.1.0.1", nodeName: "here" }], { name: "web-2" });
  assert.deepEqual(count([ending, ready]), [["IPv4", 1]]);
});

Deno.test("each family of both the Service and the node is counted separately", () => {
  const slices = [
    aSlice([{ at: "10.1.0.1", nodeName: "here" }]),
    aSlice([{ at: "fd00::1", nodeName: "here" }, { at: "fd00::2", nodeName: "here" }], { name: "web-2" }),
  ];
  const dual = { ...service, clusterIPs: [address("fd00:96::1"), address("10.96.0.10")] };
  assert.deepEqual(count(slices, dual), [["IPv6", 2], ["IPv4", 1]]);
  const v4Node = healthCheckOf(dual, slices, { ...here, families: ["IPv4"] });
  assert.deepEqual([...v4Node?.localEndpoints ?? []], [["IPv4", 1]]);
});
