import assert from "node:assert/strict";
import type { TrafficCounters } from "../../../../core/backend/traffic.ts";
import type { ModelObject } from "../../../../core/objects/objects.ts";
import { serviceDetail } from "../../../../core/observe/status/service_detail.ts";
import { planKey } from "../../../../core/plan/plan.ts";
import { address, aSlice, cidr } from "../../plan/builders.ts";
import { service } from "../../sync/objects.ts";
import { inForce } from "./known_services.ts";

function detailOf(
  objects: readonly ModelObject[],
  rejected: readonly string[] = [],
  traffic: TrafficCounters = { services: [], unallocated: {} },
) {
  const known = inForce(objects, rejected);
  const stored = known.store.get("default/web");
  assert.ok(stored);
  return serviceDetail("default/web", stored, known, traffic);
}

const slice = (...endpoints: Parameters<typeof aSlice>[0]) =>
  aSlice(endpoints, { name: "web-1", service: "web" });

Deno.test("an opened service tells the state, the place and the lists of every endpoint", () => {
  const { ports: [port] } = detailOf([
    service("web", "10.96.0.10", {
      ports: [{ name: "http", protocol: "TCP", port: 80, nodePort: 30080 }],
      externalTrafficPolicy: "Local",
    }),
    slice(
      { at: "10.1.0.1", nodeName: "here", zone: "a" },
      { at: "10.1.0.2", nodeName: "there", ready: false, serving: true, terminating: true },
      { at: "10.1.0.3", ready: false, serving: false },
      { at: "10.1.0.4", nodeName: "there" },
    ),
  ]);
  const told = port?.endpoints.map((
    { address, node, zone, state, isLocal, lists },
  ) => [address, node, zone, state, isLocal, lists.join(" ")]);
  assert.deepEqual(told, [
    ["10.1.0.1", "here", "a", "ready", true, "cluster local"],
    ["10.1.0.2", "there", "", "terminating, still serving", false, ""],
    ["10.1.0.3", "", "", "not ready", false, ""],
    ["10.1.0.4", "there", "", "ready", false, "cluster"],
  ]);
  assert.deepEqual(port?.frontends.map(({ text }) => text), ["10.96.0.10:80/TCP", "node port 30080/TCP"]);
});

Deno.test("the paths of clients follow the traffic policies", () => {
  const paths = (different: Parameters<typeof service>[2], ...endpoints: Parameters<typeof aSlice>[0]) =>
    detailOf([service("web", "10.96.0.10", different), slice(...endpoints)]).ports[0]?.paths
      .map(({ clients, frontends, result, endpoints }) =>
        `${clients} → ${frontends.join("+")} → ${result} ${endpoints}`
      );
  const nodePort = { ports: [{ name: "http", protocol: "TCP", port: 80, nodePort: 30080 }] } as const;
  assert.deepEqual(paths({}, { at: "10.1.0.1" }), ["pods and the node → ClusterIP → cluster 1"]);
  assert.deepEqual(paths({ internalTrafficPolicy: "Local" }, { at: "10.1.0.1" }), [
    "pods and the node → ClusterIP → drop 0",
  ]);
  assert.deepEqual(paths(nodePort, { at: "10.1.0.1", ready: false, serving: false }), [
    "pods and the node → ClusterIP → reject 0",
    "everyone → NodePort → reject 0",
  ]);
  assert.deepEqual(
    paths({ ...nodePort, externalIPs: [address("192.0.2.1")], externalTrafficPolicy: "Local" }, {
      at: "10.1.0.1",
    }),
    [
      "pods and the node → ClusterIP → cluster 1",
      "outside the cluster → ExternalIP+NodePort → drop 0",
      "this node and its pods → ExternalIP+NodePort → cluster 1",
    ],
  );
});

Deno.test("a rejected service port has its reason, and source ranges are listed", () => {
  const rejected = detailOf([service("web", "10.96.0.10"), slice({ at: "10.1.0.1" })], ["web"]);
  assert.deepEqual(rejected.problems, ["rejected"]);
  assert.deepEqual(
    rejected.ports.map(({ portName, inForce, rejection }) => [portName, inForce, rejection]),
    [["http", false, "EINVAL from nf_tables"]],
  );
  const { ports: [port] } = detailOf([
    service("web", "10.96.0.10", {
      loadBalancerIPs: [address("192.0.2.9")],
      loadBalancerSourceRanges: [cidr("203.0.113.0/24")],
    }),
    slice({ at: "10.1.0.1" }),
  ]);
  assert.deepEqual(port?.sourceRanges, ["203.0.113.0/24"]);
});

Deno.test("a service with very many ports and endpoints is shown in part", () => {
  const ports = Array.from(
    { length: 300 },
    (_, i) => ({ name: `p${i}`, protocol: "TCP" as const, port: 1 + i, nodePort: 0 }),
  );
  const endpoints = Array.from({ length: 5000 }, (_, i) => ({ at: `10.1.${i >> 8}.${i & 255}` }));
  const detail = detailOf([
    service("web", "10.96.0.10", { ports }),
    aSlice(endpoints, { name: "web-1", service: "web", ports }),
  ]);
  assert.deepEqual([detail.ports.length, detail.morePorts, detail.endpoints.total], [20, 280, 5000]);
  assert.deepEqual([detail.ports[0]?.endpoints.length, detail.ports[0]?.moreEndpoints], [100, 4900]);
});

Deno.test("a service port has the traffic of its frontends, and no other", () => {
  const port = {
    namespace: "default",
    name: "web",
    portName: "http",
    protocol: "TCP",
    family: "IPv4",
  } as const;
  const counters = {
    frontend: "ClusterIP",
    connections: 5,
    refused: { "no-endpoints": 1, "source-range": 2 },
  } as const;
  const { ports: [detail] } = detailOf([service("web", "10.96.0.10"), slice({ at: "10.1.0.1" })], [], {
    services: [
      { key: planKey(port), ...counters },
      { key: planKey({ ...port, name: "other" }), ...counters },
    ],
    unallocated: {},
  });
  assert.deepEqual(detail?.traffic, [{ frontend: "ClusterIP", connections: 5, refused: 3 }]);
});
